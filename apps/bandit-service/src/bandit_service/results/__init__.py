"""Reports of an experiment in words and numbers."""
