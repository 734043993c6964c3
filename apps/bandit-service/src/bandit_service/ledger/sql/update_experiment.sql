UPDATE experiments
SET status = %(status)s, revision = %(revision)s, winner = %(winner)s, definition = %(definition)s,
    updated_at = to_timestamp(%(at)s)
WHERE id = %(id)s
