"""Policies replayed offline on the uniformly random logs."""
