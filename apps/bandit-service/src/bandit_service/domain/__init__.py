"""Values and rules of experiments, decisions, events and keys, without I/O. Imports bandit_core only."""
