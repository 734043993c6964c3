-- Of each day the last snapshot stays; the newest of all, where a refill starts, is the last of its day.
COPY (
    DELETE FROM posterior_snapshots
    WHERE taken_at < {before}
        AND (experiment_id, epoch, seq) NOT IN (
            SELECT DISTINCT ON (experiment_id, date_trunc('day', taken_at, 'UTC')) experiment_id, epoch, seq
            FROM posterior_snapshots
            ORDER BY experiment_id, date_trunc('day', taken_at, 'UTC'), epoch DESC, seq DESC
        )
    RETURNING *
) TO STDOUT WITH (FORMAT csv, HEADER)
