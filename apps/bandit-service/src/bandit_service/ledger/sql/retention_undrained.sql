-- Processes that may hold events of decisions before a moment: received while those could have their reward, and not
-- yet in the ledger, or in it on the timeline before a failover only.
SELECT name FROM producers
WHERE NOT dead AND timeline <> ledger_timeline()
    OR drained_to <= coalesce((
        SELECT max(
            CASE WHEN status = 'archived' THEN least(closes, updated_at) ELSE closes END
        )
        FROM experiments
        CROSS JOIN LATERAL (
            SELECT %(before)s::timestamptz + (definition ->> 'reward_window')::double precision * interval '1 second'
        ) AS reward_window (closes)
    ), %(before)s)
ORDER BY name
