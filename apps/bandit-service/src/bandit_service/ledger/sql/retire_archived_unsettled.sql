-- What an archived experiment left unsettled of decisions that go; retention_unsettled has let no other pass.
DELETE FROM unsettled
USING experiments
WHERE experiments.id = unsettled.experiment_id AND status = 'archived'
    AND NOT EXISTS (SELECT FROM unnest(times) AS decision_time WHERE decision_time >= %(before)s)
