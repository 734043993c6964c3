"""POST /plan: what to expect of an experiment before it starts. Imports bandit_core and http."""
