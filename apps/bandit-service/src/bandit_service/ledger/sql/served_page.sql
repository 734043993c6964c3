-- Definitions with the weights in force, in the order of ids; archived ones are not served.
SELECT definition::text, record::text
FROM experiments LEFT JOIN weights ON weights.experiment_id = experiments.id
WHERE id > %(after)s AND status <> 'archived'
ORDER BY id
LIMIT %(limit)s
