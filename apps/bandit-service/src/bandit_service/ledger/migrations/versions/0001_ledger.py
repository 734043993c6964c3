"""The schema: definitions, the ledger of events, what is derived from it, and the views for readers."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    for name in ("0001_ledger.sql", "0001_views.sql"):
        script = Path(__file__).with_name(name).read_text()
        op.get_bind().execution_options(no_parameters=True).exec_driver_sql(script)
