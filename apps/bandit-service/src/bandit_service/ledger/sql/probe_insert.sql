-- What a batch and a heartbeat need to be allowed; the caller rolls it back.
WITH event AS (
    INSERT INTO bandit_events (
        experiment_id, decision_id, kind, decision_time, event_time, batch, ord, arm_index, stratum, counted
    )
    VALUES ('bandit:doctor', 'probe', 'late', clock_timestamp(), clock_timestamp(), 0, 0, 0, 'bandit', false)
), totals AS (
    INSERT INTO arm_totals (experiment_id, arm_index, stratum, segment, weights_version, slot)
    VALUES ('bandit:doctor', 0, 'bandit', '', 0, 0)
)
INSERT INTO producers (name, slot, timeline) VALUES ('bandit:doctor', 0, ledger_timeline())
