-- Which of these experiments have decisions to settle.
SELECT experiment_id FROM unnest(%(experiment_ids)s::text[]) AS wanted (experiment_id)
WHERE EXISTS (SELECT FROM unsettled WHERE unsettled.experiment_id = wanted.experiment_id)
