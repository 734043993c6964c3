"""The Redis protocol: keys, atomic scripts, connections. Imports domain. mirror/ and spool/ replace it."""
