-- Put weights into force and keep them in the history, while the lease is locked. The version is the next one, and above
-- all that were given on earlier timelines.
WITH given AS (
    SELECT
        %(experiment_id)s::text AS experiment_id, clock_timestamp() AS at, %(record)s::jsonb AS record,
        %(explanation)s::jsonb AS explanation, %(summary)s::text AS summary, %(assessment)s::jsonb AS assessment,
        greatest(
            coalesce((SELECT version FROM weights WHERE experiment_id = %(experiment_id)s), 0), timeline_base()
        ) + 1 AS version
), history AS (
    INSERT INTO allocations (
        experiment_id, weights_version, published_at, revision, weights, prob_best, expected_loss, explanation, summary
    )
    SELECT
        experiment_id, version, at, (record ->> 'revision')::bigint, record -> 'weights', record -> 'prob_best',
        record -> 'expected_loss', explanation, summary
    FROM given
)
INSERT INTO weights (experiment_id, version, published_at, record, explanation, summary, assessment)
SELECT experiment_id, version, at, record || jsonb_build_object('version', version), explanation, summary, assessment
FROM given
ON CONFLICT (experiment_id) DO UPDATE SET
    version = excluded.version, published_at = excluded.published_at, record = excluded.record,
    explanation = excluded.explanation, summary = excluded.summary, assessment = excluded.assessment
RETURNING version
