INSERT INTO namespaces (name, unit_salt) VALUES (%(name)s, %(unit_salt)s) ON CONFLICT DO NOTHING
