-- The timeline, and whether everything is there again that a failover may have lost.
SELECT ledger_timeline(), ledger_is_whole()
