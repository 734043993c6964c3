-- Experiments with outcomes to be settled of decisions before a moment. Those of an archived one are not settled.
SELECT DISTINCT unsettled.experiment_id
FROM unsettled
LEFT JOIN experiments ON experiments.id = unsettled.experiment_id
WHERE EXISTS (SELECT FROM unnest(times) AS decision_time WHERE decision_time < %(before)s)
    AND NOT coalesce(status = 'archived' AND updated_at < %(now)s - %(grace)s * interval '1 second', false)
ORDER BY 1
