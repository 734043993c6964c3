SELECT weights_version, extract(epoch FROM published_at)::double precision AS published_at, revision, weights, prob_best,
    expected_loss
FROM allocations
WHERE experiment_id = %(experiment_id)s
ORDER BY weights_version DESC
LIMIT 1
