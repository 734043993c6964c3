"""The endpoints: a folder each for experiments, decisions, rewards and results. Imports every layer but compat."""
