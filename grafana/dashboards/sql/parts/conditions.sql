-- The stopping rule's conditions as they stand, and how far each has come in [0, 1], as bandit_core.stopping has it.
rule AS (
    SELECT
        definition -> 'stopping' AS stopping,
        definition ->> 'missing_reward' = 'zero' AS closes,
        greatest(0, extract(epoch FROM now() - created_at)) AS elapsed
    FROM experiments
    WHERE id = ${experiment:sqlstring} AND jsonb_typeof(definition -> 'stopping') = 'object'
),
asked AS (
    SELECT
        rule.*,
        (stopping ->> 'prob_best')::float8 AS asked_prob_best,
        (stopping ->> 'expected_loss')::float8 AS asked_loss,
        (stopping ->> 'max_duration')::float8 AS most_seconds,
        (stopping ->> 'min_decisions')::float8 AS asked_decisions,
        (stopping ->> 'min_decisions_per_arm')::float8 AS asked_per_arm
    FROM rule
),
evidence AS (
    SELECT
        count(*) AS arms,
        max(prob_best) AS prob_best,
        min(expected_loss) AS least_loss,
        (array_agg(expected_loss ORDER BY prob_best DESC, arm_index))[1] AS leader_loss
    FROM best_arm
),
data AS (
    SELECT sum(counted) AS decisions, min(counted) FILTER (WHERE status = 'active') AS fewest
    FROM (
        -- Where a missing reward is a zero, a decision says nothing before its window has closed.
        SELECT status, CASE WHEN closes THEN least(decisions, rewards) ELSE decisions END AS counted
        FROM posterior, rule
    ) AS arms
),
measured AS (
    SELECT 1 AS place, 'P(best)' AS condition, 'evidence' AS kind, prob_best AS value, asked_prob_best AS threshold,
        CASE
            WHEN prob_best >= asked_prob_best THEN 1
            WHEN asked_prob_best * arms <= 1 THEN 0.999
            ELSE greatest(0, least(0.999,
                (ln(greatest(prob_best, 1e-12) / (1 - prob_best)) + ln(arms - 1))
                / (ln(asked_prob_best / (1 - asked_prob_best)) + ln(arms - 1))
            ))
        END AS progress
    FROM asked, evidence
    WHERE asked_prob_best IS NOT NULL
    UNION ALL
    SELECT 2, 'expected loss', 'evidence', loss, asked_loss,
        CASE WHEN loss <= asked_loss THEN 1 ELSE least(0.999, (asked_loss / loss) ^ 2) END
    FROM asked, evidence, LATERAL (
        SELECT CASE WHEN prob_best >= asked_prob_best THEN leader_loss ELSE least_loss END AS loss
    ) AS candidate
    WHERE asked_loss IS NOT NULL
    UNION ALL
    SELECT 3, 'decisions', 'data', decisions, asked_decisions, least(1, decisions / asked_decisions)
    FROM asked, data
    WHERE asked_decisions > 0
    UNION ALL
    SELECT 4, 'decisions of every arm', 'data', fewest, asked_per_arm, least(1, fewest / asked_per_arm)
    FROM asked, data
    WHERE asked_per_arm > 0
    UNION ALL
    SELECT 5, 'seconds', 'time', elapsed, most_seconds, least(1, elapsed / most_seconds)
    FROM asked
    WHERE most_seconds IS NOT NULL
)
