INSERT INTO experiments (id, namespace, status, revision, winner, definition, created_at, updated_at)
VALUES (
    %(id)s, %(namespace)s, %(status)s, %(revision)s, %(winner)s, %(definition)s, to_timestamp(%(at)s),
    clock_timestamp()
)
ON CONFLICT DO NOTHING
