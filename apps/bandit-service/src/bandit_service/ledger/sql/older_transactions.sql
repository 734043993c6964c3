-- Whether transactions run that may not see what a committed transaction has changed: whether one has written, and
-- whether one has a snapshot. A statement has its snapshot before it writes, and only then an id.
SELECT
    pg_snapshot_xmin(pg_current_snapshot()) <= %(id)s::text::xid8,
    EXISTS (
        SELECT FROM pg_stat_activity
        WHERE datname = current_database()
            AND backend_type = 'client backend'
            AND pid <> pg_backend_pid()
            AND age(backend_xmin) >= age(%(id)s::text::xid8::xid)
    )
