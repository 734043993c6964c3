UPDATE leases SET holder = NULL WHERE holder = %(holder)s
