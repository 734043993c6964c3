INSERT INTO erased_units (unit_hash)
SELECT DISTINCT unnest(%(hashes)s::bytea[]) ORDER BY 1
ON CONFLICT (unit_hash) DO UPDATE SET erased_at = excluded.erased_at
RETURNING pg_current_xact_id()::text
