-- now() is the start of the transaction: all snapshots of a run are taken at one moment.
SELECT take_posterior_snapshot(%(experiment_id)s, now()) AS arms
