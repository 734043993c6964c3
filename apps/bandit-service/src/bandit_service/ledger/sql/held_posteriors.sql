-- The posteriors of experiments that have a lease-holder, as Redis should have them.
SELECT
    posterior.experiment_id, posterior.arm_index, posterior.alpha_micro, posterior.beta_micro,
    coalesce(experiments.definition #>> '{rewards,distribution}', '') = 'gaussian'
FROM experiments
JOIN leases ON leases.experiment_id = experiments.id
JOIN producers ON producers.name = leases.holder
JOIN arm_posteriors AS posterior ON posterior.experiment_id = experiments.id
WHERE experiments.status = 'running'
    AND NOT producers.dead
    AND producers.heartbeat_at > clock_timestamp() - interval '5 seconds'
