"""How Alembic runs the migrations: all that are missing in one transaction, by one process at a time."""

from alembic import context
from sqlalchemy import text

# Behind a lock that is waited for, every reader and writer of the table queues up: so it is not waited for long.
# Another process that migrates is waited for, since it ends by itself.
TABLE_LOCK_TIMEOUT = "2s"
MIGRATION_LOCK_TIMEOUT = "60s"
LOCK = 0x62616E646974  # "bandit": the lock only has to differ from other programs' locks in the same database

connection = context.config.attributes["connection"]
context.configure(connection=connection)
with context.begin_transaction():
    # Both belong to the transaction, not to the session: that also works behind PgBouncer.
    connection.execute(text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": MIGRATION_LOCK_TIMEOUT})
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    connection.execute(text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": TABLE_LOCK_TIMEOUT})
    context.run_migrations()
