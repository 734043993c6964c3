-- A unit can come back by an event that was received before it was erased, or by a reward that names it as its decision
-- did: until every process has drained past both.
DELETE FROM erased_units
WHERE erased_at + (
    coalesce((SELECT max((definition ->> 'reward_window')::double precision) FROM experiments), 0) + %(grace)s
) * interval '1 second' < least(%(now)s, (SELECT min(drained_to) FROM producers))
