-- Definitions with the weights in force, of these experiments.
SELECT definition::text, record::text
FROM experiments LEFT JOIN weights ON weights.experiment_id = experiments.id
WHERE id = ANY(%(experiment_ids)s::text[])
