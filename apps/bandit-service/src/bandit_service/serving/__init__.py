"""What a process holds in memory of an experiment, and the draw from it. Imports the stores and domain."""
