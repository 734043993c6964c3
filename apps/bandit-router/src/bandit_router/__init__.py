"""A Seldon Core v1 router whose branches are the arms of an experiment of bandit-service."""
