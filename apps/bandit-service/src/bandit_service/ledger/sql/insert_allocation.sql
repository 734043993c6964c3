INSERT INTO allocations (
    experiment_id, weights_version, published_at, revision, weights, prob_best, expected_loss, explanation, summary
)
VALUES (
    %(experiment_id)s, %(weights_version)s, to_timestamp(%(published_at)s), %(revision)s, %(weights)s, %(prob_best)s,
    %(expected_loss)s, %(explanation)s, %(summary)s
)
ON CONFLICT (experiment_id, weights_version) DO NOTHING
