SELECT DISTINCT method FROM ope_results WHERE dataset = ${dataset:sqlstring} ORDER BY method
