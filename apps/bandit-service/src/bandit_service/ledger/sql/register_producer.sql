-- The lowest slot that no living process has. Two that register at once may share one, which costs nothing but waiting.
-- A process that has something to write again registers on the timeline on which it has last done so.
INSERT INTO producers (name, slot, timeline)
SELECT %(name)s, min(slot.slot), coalesce(nullif(%(timeline)s, ''), ledger_timeline())
FROM generate_series(0, 999) AS slot (slot)
WHERE NOT EXISTS (SELECT FROM producers AS living WHERE living.slot = slot.slot AND NOT living.dead)
RETURNING slot, ledger_timeline(), (extract(epoch FROM clock_timestamp()) * 1000)::bigint
