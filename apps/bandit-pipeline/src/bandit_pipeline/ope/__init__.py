"""Off-policy evaluation of policies on the logs of the Open Bandit Dataset."""
