-- Whether decisions of one experiment wait for the service to write their outcomes.
SELECT EXISTS (SELECT FROM unsettled WHERE experiment_id = %(experiment_id)s) AS unsettled
