SELECT definition::text FROM experiments
WHERE (%(namespace)s::text IS NULL OR namespace = %(namespace)s)
    AND (%(status)s::text IS NULL OR status = %(status)s)
    AND (%(after)s::text IS NULL OR id > %(after)s)
ORDER BY id
LIMIT %(limit)s
