"""Postgres: migrations, queries as named SQL files, connections. Imports domain."""
