observed AS (
    SELECT id FROM experiments WHERE status = 'running'
)
