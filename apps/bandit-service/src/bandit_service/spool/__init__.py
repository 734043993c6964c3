"""The short-lived copy of the ledger's tail: a Redis stream for each process. Imports the ledger and domain."""
