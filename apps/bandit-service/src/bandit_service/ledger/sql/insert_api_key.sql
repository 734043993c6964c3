INSERT INTO api_keys (id, hash, name, role, namespace) VALUES (%(id)s, %(digest)s, %(name)s, %(role)s, %(namespace)s)
