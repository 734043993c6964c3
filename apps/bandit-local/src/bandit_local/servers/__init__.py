"""Real Redis and Postgres servers from Python wheels, run as children of this process."""

from bandit_local.servers.postgres import PostgresServer
from bandit_local.servers.process import ServerError
from bandit_local.servers.redis import RedisServer

__all__ = ["PostgresServer", "RedisServer", "ServerError"]
