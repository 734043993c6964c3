-- P(best) and expected loss by the trapezoidal rule: an arm is best at x with its density times the others' P(below x).
wins AS (
    SELECT
        *, density * exp(greatest(-300, sum(ln(cdf)) OVER (PARTITION BY z) - ln(cdf))) AS win
    FROM curve
),
strips AS (
    SELECT
        *,
        coalesce((win + lag(win) OVER arms) / 2 * (z - lag(z) OVER arms), 0) AS won,
        coalesce((win * x + lag(win * x) OVER arms) / 2 * (z - lag(z) OVER arms), 0) AS won_reward
    FROM wins
    WINDOW arms AS (PARTITION BY arm_index ORDER BY z)
),
sums AS (
    SELECT
        arm, arm_index, mean,
        sum(won) AS won,
        sum(won_reward) AS won_reward,
        max(x) FILTER (WHERE cdf <= 0.025) AS low,
        min(x) FILTER (WHERE cdf >= 0.975) AS high
    FROM strips
    GROUP BY arm, arm_index, mean
),
best_arm AS (
    SELECT
        arm, arm_index, mean, low, high,
        won / sum(won) OVER () AS prob_best,
        greatest(0, sum(won_reward) OVER () / sum(won) OVER () - mean) AS expected_loss
    FROM sums
)
