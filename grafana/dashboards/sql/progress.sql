SELECT greatest(
    least(
        CASE WHEN min(stopping ->> 'combine') = 'all'
            THEN coalesce(min(progress) FILTER (WHERE kind = 'evidence'), 0)
            ELSE coalesce(max(progress) FILTER (WHERE kind = 'evidence'), 0)
        END,
        min(progress) FILTER (WHERE kind = 'data')
    ),
    max(progress) FILTER (WHERE kind = 'time')
) AS progress
FROM measured, rule
