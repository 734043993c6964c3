SELECT
    status,
    winner,
    definition -> 'policy' ->> 'name' AS policy,
    created_at,
    definition -> 'conclusion' ->> 'why' AS conclusion
FROM experiments
WHERE id = ${experiment:sqlstring}
