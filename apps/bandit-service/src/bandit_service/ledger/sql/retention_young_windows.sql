-- Experiments that still take rewards for decisions before a moment, or recognise their repetition.
SELECT id FROM experiments
WHERE status <> 'archived'
    AND %(before)s::timestamptz
        + ((definition ->> 'reward_window')::double precision + %(grace)s) * interval '1 second' > %(now)s
ORDER BY id
