SELECT DISTINCT dataset FROM ope_results_v1 ORDER BY dataset
