-- Refuse events of decisions before a moment from now on; return the id of this transaction.
UPDATE kept_from SET oldest = greatest(oldest, %(before)s) RETURNING pg_current_xact_id()::text
