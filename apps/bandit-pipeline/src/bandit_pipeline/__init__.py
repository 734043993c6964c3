"""Dagster code location: ingest, replay, off-policy evaluation, regret, snapshots, conclusions, export."""
