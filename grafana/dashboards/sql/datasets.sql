SELECT DISTINCT dataset FROM ope_results ORDER BY dataset
