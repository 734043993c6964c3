"""What Redis holds beside the spool: copies of what Postgres knows, which may be lost at any time. Imports domain."""
