-- For how long (s) the oldest outcome to be settled has waited, and how long ago the oldest open bucket was due. A bucket
-- is as long as a hundredth of its window, but at least a minute; archived experiments are not looked after.
SELECT
    (
        SELECT extract(epoch FROM clock_timestamp() - min(recorded_at))
        FROM unsettled JOIN experiments ON experiments.id = experiment_id
        WHERE status <> 'archived'
    )::double precision,
    (
        SELECT extract(epoch FROM clock_timestamp() - min(
            bucket + ((definition ->> 'reward_window')::double precision * 1.01 + 60) * interval '1 second'
        ))
        FROM open_buckets JOIN experiments ON experiments.id = experiment_id
        WHERE status <> 'archived'
    )::double precision
