"""The log sent through a running bandit-service, as visitors whose clicks are known for one arm only."""
