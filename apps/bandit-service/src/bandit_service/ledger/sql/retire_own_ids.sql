DELETE FROM own_ids WHERE decision_time < (SELECT oldest FROM kept_from)
