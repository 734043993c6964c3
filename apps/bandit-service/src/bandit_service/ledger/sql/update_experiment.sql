UPDATE experiments
SET status = %(status)s, revision = %(revision)s, winner = %(winner)s, definition = %(definition)s,
    updated_at = clock_timestamp()
WHERE id = %(id)s
