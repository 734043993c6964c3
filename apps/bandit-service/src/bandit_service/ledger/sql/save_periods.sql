-- Replace periods of an experiment whose lease is locked; return the number of this fold. It is above all that were given
-- on earlier timelines, so that none is used again after a failover.
WITH merged AS (
    DELETE FROM weight_periods WHERE experiment_id = %(experiment_id)s AND first_version = ANY(%(merged)s::bigint[])
), kept AS (
    INSERT INTO weight_periods AS period (experiment_id, first_version, last_version, begins, ends, sums)
    SELECT %(experiment_id)s, first_version, last_version, to_timestamp(begins), to_timestamp(ends), sums::jsonb
    FROM unnest(
        %(first_version)s::bigint[], %(last_version)s::bigint[], %(begins)s::double precision[],
        %(ends)s::double precision[], %(sums)s::text[]
    ) AS given (first_version, last_version, begins, ends, sums)
    ORDER BY first_version
    ON CONFLICT (experiment_id, first_version) DO UPDATE SET
        last_version = excluded.last_version, begins = excluded.begins, ends = excluded.ends, sums = excluded.sums
)
UPDATE leases SET folds = greatest(folds + 1, timeline_base()) WHERE experiment_id = %(experiment_id)s RETURNING folds
