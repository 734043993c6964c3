SELECT split_part(reason, ':', 1), count(*) FROM refused_events
WHERE recorded_at > clock_timestamp() - interval '1 day'
GROUP BY 1
ORDER BY 1
