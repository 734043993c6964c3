"""Take the reward of a decision."""
