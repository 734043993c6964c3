-- What a sticky experiment has to remember of events that go: which units it has seen.
INSERT INTO exposed_units (experiment_id, unit_hash)
SELECT DISTINCT event.experiment_id, event.unit_hash
FROM {events} AS event
JOIN experiments ON experiments.id = event.experiment_id
WHERE experiments.definition ->> 'assignment' = 'sticky'
    AND event.decision_time < {before}
    AND event.kind = 'decision' AND event.stratum = 'bandit' AND event.unit_hash IS NOT NULL
ON CONFLICT DO NOTHING
