SELECT encode(unit_salt, 'hex') FROM namespaces WHERE name = %(name)s
