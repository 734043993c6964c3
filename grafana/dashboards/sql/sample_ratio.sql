SELECT arm, observed, expected, observed / draws - expected / draws AS difference, deviation
FROM ratio
ORDER BY deviation DESC
