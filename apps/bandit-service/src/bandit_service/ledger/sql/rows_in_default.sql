SELECT
    EXISTS (SELECT FROM bandit_events_default WHERE decision_time >= %(start)s AND decision_time < %(end)s),
    pg_relation_size('bandit_events_default')
