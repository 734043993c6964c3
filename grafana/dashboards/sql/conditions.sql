SELECT condition, value, threshold, progress FROM measured ORDER BY place
