"""Simulations with a known truth, which the tables and pictures of the documents come from. No app imports them."""
