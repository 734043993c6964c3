"""`banditctl`: the operator's command, a client of bandit-service like any other."""
