"""What speaks HTTP for every endpoint: server, fast path, authentication, problems, limits, OpenAPI and logs."""
