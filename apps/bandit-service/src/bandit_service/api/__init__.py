"""The endpoints of the service: a folder each for experiments, decisions, rewards and results."""
