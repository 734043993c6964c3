-- Take leases without a holder, or whose holder is dead or has not been heard of for `life` seconds; return all that
-- are held now. A lease of another timeline is taken anew: a failover may have lost what was done under its token.
WITH vacant AS (
    SELECT experiment_id FROM leases
    WHERE CASE WHEN holder = %(holder)s THEN token < (SELECT timeline_base()) ELSE
        -- A subquery and no join: it is looked at again when the row has changed meanwhile.
        (
            SELECT dead OR heartbeat_at < clock_timestamp() - make_interval(secs => %(life)s)
            FROM producers WHERE name = holder
        ) IS NOT FALSE
    END
    ORDER BY experiment_id
    LIMIT %(most)s
    FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
    UPDATE leases SET holder = %(holder)s, token = greatest(token + 1, timeline_base())
    FROM vacant WHERE leases.experiment_id = vacant.experiment_id
    RETURNING leases.experiment_id, token
), held AS (
    SELECT experiment_id, token FROM taken
    UNION ALL
    SELECT experiment_id, token FROM leases
    WHERE holder = %(holder)s AND experiment_id NOT IN (SELECT experiment_id FROM taken)
), digest AS (
    SELECT coalesce(sum(hashtextextended(experiment_id, token)), 0)::text AS digest FROM held
)
-- Nothing but the digest, if the caller has that one already.
SELECT
    digest,
    (SELECT array_agg(experiment_id ORDER BY experiment_id) FROM held WHERE digest IS DISTINCT FROM %(digest)s::text),
    (SELECT array_agg(token ORDER BY experiment_id) FROM held WHERE digest IS DISTINCT FROM %(digest)s::text)
FROM digest
