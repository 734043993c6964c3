SELECT definition::text FROM experiments WHERE id = %(id)s
