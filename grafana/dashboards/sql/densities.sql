-- Each arm on its own points, without the last thousandth of its mass, whose tail would take most of the picture.
SELECT arm, x, density / (x * (1 - x)) AS density
FROM curve
WHERE is_own AND cdf BETWEEN 0.0005 AND 0.9995
ORDER BY arm_index, z
