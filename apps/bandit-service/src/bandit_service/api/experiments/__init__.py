"""What experiments are, and how people change them."""
