"""Beliefs to published weights, by whichever replica holds an experiment's lease."""
