"""Ways in for clients of other systems. Each maps what they know to experiments, and calls the services beside it."""
