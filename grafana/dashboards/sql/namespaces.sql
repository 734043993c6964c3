SELECT DISTINCT namespace FROM experiments_v1 ORDER BY namespace
