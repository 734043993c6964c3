SELECT id FROM experiments WHERE namespace IN (${namespace:sqlstring}) ORDER BY status = 'archived', created_at DESC
