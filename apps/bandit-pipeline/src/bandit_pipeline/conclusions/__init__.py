"""The end of experiments: when the stopping rule says so, through the service, for the record."""
