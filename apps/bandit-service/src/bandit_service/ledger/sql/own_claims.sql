SELECT wanted.place - 1, (extract(epoch FROM own.decision_time) * 1000)::bigint, own.claim::text
FROM unnest(%(experiment_id)s, %(own_id)s) WITH ORDINALITY AS wanted (experiment_id, own_id, place)
JOIN own_ids AS own USING (experiment_id, own_id)
