observed AS (
    SELECT id FROM experiments WHERE id = ${experiment:sqlstring}
)
