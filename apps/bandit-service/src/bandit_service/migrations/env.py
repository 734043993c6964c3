"""How Alembic runs the migrations: all that are missing in one transaction, by one process at a time."""

from alembic import context
from sqlalchemy import text

LOCK = 0x62616E646974  # "bandit": the lock only has to differ from other programs' locks in the same database

connection = context.config.attributes["connection"]
context.configure(connection=connection)
with context.begin_transaction():
    # Held by the transaction, not by the session: that also works behind PgBouncer.
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    context.run_migrations()
