"""A simulated Postgres at the level of connections and named statements."""

from .server import SimulatedPostgres

__all__ = ["SimulatedPostgres"]
