-- The 20 active arms that are most likely to be the best, on 200 points each: the 95% interval and half of its width on
-- either side. A rate lies between 0 and 1. Logarithms are bounded, since ln(0) and exp() of a large number are errors in Postgres.
WITH drawn AS (
    SELECT
        *,
        greatest(low - (high - low) / 2, CASE WHEN alpha IS NOT NULL THEN 0 END) AS first,
        least(high + (high - low) / 2, CASE WHEN alpha IS NOT NULL THEN 1 END) AS last
    FROM posteriors_v1
    WHERE experiment_id = ${experiment:sqlstring} AND prob_best IS NOT NULL
    ORDER BY prob_best DESC, arm_index
    LIMIT 20
)
SELECT
    arm, x, exp(greatest(-300, least(300, CASE WHEN alpha IS NULL
        THEN log_norm - (freedom + 1) / 2 * ln(1 + ((x - location) / scale) ^ 2 / freedom)
        ELSE log_norm + (alpha - 1) * ln(greatest(1e-300, x)) + (beta - 1) * ln(greatest(1e-300, 1 - x))
    END))) AS density
FROM drawn
CROSS JOIN generate_series(1, 200) AS number
CROSS JOIN LATERAL (SELECT first + (number - 0.5) / 200 * (last - first) AS x) AS point
ORDER BY arm_index, x
