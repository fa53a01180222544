"""The weekly forecast and its ledger."""
