-- Take one lease, of an experiment that may have had none yet; no row if another process holds it.
INSERT INTO leases AS lease (experiment_id, holder, token)
VALUES (%(experiment_id)s, %(holder)s, greatest(1, timeline_base()))
ON CONFLICT (experiment_id) DO UPDATE SET
    holder = excluded.holder,
    token = CASE
        WHEN lease.holder = excluded.holder AND lease.token >= timeline_base() THEN lease.token
        ELSE greatest(lease.token + 1, timeline_base())
    END
WHERE lease.holder = excluded.holder OR (
    SELECT dead OR heartbeat_at < clock_timestamp() - make_interval(secs => %(life)s)
    FROM producers WHERE name = lease.holder
) IS NOT FALSE
RETURNING token
