-- Lock the row of a lease and begin its next turn. No row comes back if the lease has gone, or after a failover.
UPDATE leases SET turn = turn + 1
WHERE experiment_id = %(experiment_id)s
    AND holder = %(holder)s
    AND token = %(token)s
    AND ledger_timeline() = %(timeline)s
RETURNING turn
