"""The way of an event to Postgres and back. Imports serving, the stores and domain. ledger/ and spool/ replace it."""
