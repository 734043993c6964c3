SELECT DISTINCT method FROM ope_results_v1 WHERE dataset = ${dataset:sqlstring} ORDER BY method
