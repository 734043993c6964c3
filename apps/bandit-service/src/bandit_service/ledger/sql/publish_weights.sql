-- Put weights of experiments into force, and keep them in the history, if their leases are still held: they are locked. A
-- version is the one after the last, and above all that were given on earlier timelines. It is counted up by the row in
-- force itself, which the statement reads as it is once the lease is locked.
WITH given AS (
    SELECT * FROM unnest(
        %(experiment_id)s, %(holder)s, %(token)s, %(record)s, %(explanation)s, %(summary)s, %(assessment)s,
        %(holdout)s
    ) AS new (experiment_id, holder, token, record, explanation, summary, assessment, holdout)
), held AS (
    SELECT given.*
    FROM given JOIN leases USING (experiment_id)
    WHERE leases.holder = given.holder AND leases.token = given.token
    ORDER BY experiment_id
    FOR UPDATE OF leases
), published AS (
    INSERT INTO weights AS known (experiment_id, version, published_at, record, explanation, summary, assessment)
    SELECT
        experiment_id, timeline_base() + 1, clock_timestamp(),
        record::jsonb || jsonb_build_object('version', timeline_base() + 1), explanation::jsonb, summary,
        assessment::jsonb
    FROM held
    ORDER BY experiment_id
    ON CONFLICT (experiment_id) DO UPDATE SET
        version = greatest(known.version + 1, excluded.version),
        published_at = excluded.published_at,
        record = excluded.record || jsonb_build_object('version', greatest(known.version + 1, excluded.version)),
        explanation = excluded.explanation,
        summary = excluded.summary,
        assessment = excluded.assessment
    RETURNING *
)
INSERT INTO allocations (
    experiment_id, weights_version, published_at, revision, weights, prob_best, expected_loss, explanation, summary,
    holdout
)
SELECT
    experiment_id, version, published_at, (published.record ->> 'revision')::bigint, published.record -> 'weights',
    published.record -> 'prob_best', published.record -> 'expected_loss', published.explanation, published.summary,
    held.holdout
FROM published JOIN held USING (experiment_id)
RETURNING experiment_id, weights_version
