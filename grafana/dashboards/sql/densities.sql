SELECT arm, x, density / (x * (1 - x)) AS density
FROM curve
WHERE is_own
ORDER BY arm_index, z
