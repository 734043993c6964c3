SELECT name FROM namespaces ORDER BY name
