SELECT claim::text FROM own_ids WHERE experiment_id = %(experiment_id)s AND own_id = %(own_id)s
