"""A simulated Postgres at the level of connections and named statements.

The product's own SQL text arrives at it. It knows the statements by their text (`statements/`), and does in Python what
Postgres does: READ COMMITTED, locks of rows, conflicts that wait, timeouts, timelines. `test_postgres_contract.py` and
`test_postgres_waiting.py` compare it with a real one.

What it does not model:

- Partitions, which only retention and operators look after: every event is in the default one. So these statements have
  no model: drop_totals, export_events, fold_day, partition_sizes, retention_*, retire_*, rows_in_default, and
  `CREATE`, `ALTER`, `LOCK` and `DROP TABLE`.
- What operators ask: api_keys, revoke_api_key, held_posteriors, inspect, probe_insert, and migrations.
- Pictures and exports: take_due_snapshots, newest_snapshot, new_draws, save_sample_ratio, delete_evaluation,
  insert_evaluation, rewarded_contexts; and the views.
- Overflow of sums, the unique name of an arm within its experiment, and checks of columns but those of `kind` and
  `stratum`.
- Order where a statement leaves it open. Here it is that of keys, compared by code points.
- How long a statement computes: it takes no time, or `moment` between what it reads and what it writes.
"""

from .server import SimulatedPostgres

__all__ = ["SimulatedPostgres"]
