-- Up to when every process has written what it received, and whether outcomes of an experiment wait to be settled.
SELECT
    coalesce((SELECT min(drained_to) FROM producers) > to_timestamp(%(until_ms)s / 1000.0), true)
    AND NOT EXISTS (SELECT FROM unsettled WHERE experiment_id = %(experiment_id)s)
