"""The one room that knows the Redis protocol: keys, atomic scripts, connections."""
