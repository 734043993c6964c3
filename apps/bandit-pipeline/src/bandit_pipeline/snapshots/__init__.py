"""Posterior snapshots in Postgres, more often than the service takes them by itself."""
