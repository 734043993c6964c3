"""Beliefs, allocation, conclusion and report of an experiment over HTTP."""
