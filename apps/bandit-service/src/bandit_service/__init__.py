"""Decisions and rewards over HTTP: stateless replicas on Redis and Postgres."""
