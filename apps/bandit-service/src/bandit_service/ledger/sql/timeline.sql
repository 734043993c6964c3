SELECT ledger_timeline()
