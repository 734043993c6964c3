-- The densities of the 20 active arms that may reach highest. They are worked out for z = ln(x / (1 - x)), where a Beta
-- density is smooth and has one peak whatever its parameters, on 181 points of each arm that are shared by all: close
-- together around its centre, and out to 10 standard deviations, since the tails of a weak prior are long.
-- ln Γ(v) is Stirling's series at v + 7, less ln(v (v+1) … (v+6)); Postgres has no lgamma before version 18.
compared AS (
    SELECT
        posterior.*,
        alpha / (alpha + beta) AS mean,
        ln(alpha / beta) AS centre,
        sqrt((alpha + 0.5) / (alpha * alpha) + (beta + 0.5) / (beta * beta)) AS spread,
        norm.log_norm
    FROM posterior
    CROSS JOIN LATERAL (
        SELECT sum(sign * (
            (v + 6.5) * ln(v + 7) - (v + 7) + 0.918938533204672742
            + 1 / (12 * (v + 7)) - 1 / (360 * (v + 7) ^ 3) + 1 / (1260 * (v + 7) ^ 5)
            - ln(v) - ln(v + 1) - ln(v + 2) - ln(v + 3) - ln(v + 4) - ln(v + 5) - ln(v + 6)
        )) AS log_norm
        FROM (VALUES (alpha + beta, 1), (alpha, -1), (beta, -1)) AS part (v, sign)
    ) AS norm
    WHERE posterior.status = 'active'
    ORDER BY ln(alpha / beta) + 3 * sqrt((alpha + 0.5) / (alpha * alpha) + (beta + 0.5) / (beta * beta)) DESC
    LIMIT 20
),
points AS (
    SELECT DISTINCT greatest(-30, least(30, centre + spread * sinh(step / 30.0::float8))) AS z
    FROM compared, generate_series(-90, 90) AS step
),
logarithms AS (
    SELECT
        arm, arm_index, mean, z, 1 / (1 + exp(-z)) AS x,
        abs(30 * asinh((z - centre) / spread) - round(30 * asinh((z - centre) / spread))) < 1e-6
            AND abs(z - centre) < 10.02 * spread AS is_own,
        log_norm - alpha * ln(1 + exp(-z)) - beta * ln(1 + exp(z)) AS log_density
    FROM compared, points
),
-- exp() of a very negative number is an error in Postgres, not zero.
densities AS (
    SELECT *, CASE WHEN log_density > -300 THEN exp(log_density) ELSE 0 END AS density FROM logarithms
),
pieces AS (
    SELECT *, coalesce((density + lag(density) OVER arms) / 2 * (z - lag(z) OVER arms), 0) AS mass
    FROM densities
    WINDOW arms AS (PARTITION BY arm_index ORDER BY z)
),
curve AS (
    SELECT
        *,
        greatest(
            1e-130, sum(mass) OVER (PARTITION BY arm_index ORDER BY z) / sum(mass) OVER (PARTITION BY arm_index)
        ) AS cdf
    FROM pieces
)
