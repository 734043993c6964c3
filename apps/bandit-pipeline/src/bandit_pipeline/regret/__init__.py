"""What learning costs: regret of policies in a simulation on the click rates of the log."""
