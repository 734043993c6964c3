"""Posterior snapshots in Postgres."""
