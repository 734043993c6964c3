SELECT child.relname, pg_total_relation_size(child.oid) FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'bandit_events'::regclass
ORDER BY child.relname
