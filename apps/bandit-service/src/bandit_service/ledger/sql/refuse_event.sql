-- The name of an erased unit is left out, as batches do.
INSERT INTO refused_events (experiment_id, reason, event)
SELECT
    %(experiment_id)s, %(reason)s,
    CASE WHEN EXISTS (SELECT FROM erased_units WHERE encode(unit_hash, 'hex') = event ->> 'unit_hash')
        THEN event || '{"unit_hash": null, "context": null}'
        ELSE event
    END
FROM (SELECT %(event)s::jsonb) AS given (event)
