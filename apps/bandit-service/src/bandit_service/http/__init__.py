"""HTTP for every endpoint: server, fast path, authentication, problems, limits, logs. Imports values and errors."""
