SELECT
    current_setting('server_version_num')::int AS version,
    pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool AS read_only,
    current_setting('fsync')::bool AND current_setting('synchronous_commit') <> 'off' AS durable,
    extract(epoch FROM clock_timestamp())::double precision AS now,
    current_setting('max_connections')::int AS connection_limit,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int AS connections,
    pg_database_size(datname) AS size
FROM pg_database
WHERE datname = current_database()
