"""Valkey, Postgres and S3 servers from Python wheels, run as children of this process."""

from bandit_local.servers.postgres import PostgresServer
from bandit_local.servers.process import ServerError
from bandit_local.servers.redis import RedisServer
from bandit_local.servers.s3 import S3Server

__all__ = ["PostgresServer", "RedisServer", "S3Server", "ServerError"]
