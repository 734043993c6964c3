-- Processes that a failover has lost: on no timeline yet, so that they are waited for until they beat or are dead.
INSERT INTO producers (name, slot, timeline)
SELECT name, 0, '' FROM unnest(%(names)s::text[]) AS lost (name)
ON CONFLICT DO NOTHING
