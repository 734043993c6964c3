"""How fast the service is, against named references in the same run: `make bench`."""
