"""What an application imports: clients of bandit-service and a learner that needs no server."""
