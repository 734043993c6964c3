-- The oldest rows of unsettled decisions: at most so many rows, and no further one once they name so many decisions.
WITH oldest AS (
    SELECT id, decision_ids, times FROM unsettled
    WHERE experiment_id = %(experiment_id)s
    ORDER BY id
    LIMIT %(rows)s
), counted AS (
    SELECT *, sum(cardinality(decision_ids)) OVER (ORDER BY id) - cardinality(decision_ids) AS before FROM oldest
)
SELECT counted.id, decision.decision_id, (extract(epoch FROM decision.decision_time) * 1000)::bigint
FROM counted, unnest(decision_ids, times) AS decision (decision_id, decision_time)
WHERE before < %(decisions)s
