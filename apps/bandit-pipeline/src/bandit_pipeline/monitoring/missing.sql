-- Of the decisions whose reward window closed lately: how many there are, and how many of them got a reward in time.
SELECT count(*) AS decisions, count(reward_time) AS rewarded
FROM decisions_v1
WHERE experiment_id = %(experiment_id)s AND stratum = 'bandit' AND active
    AND decision_time >= %(opened)s AND decision_time < %(closed)s
