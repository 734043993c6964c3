"""Create, change and end experiments."""
