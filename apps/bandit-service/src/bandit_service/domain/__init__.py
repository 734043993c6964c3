"""Values and rules of experiments, decisions, events and allocations, without I/O. Imports bandit_core only."""
