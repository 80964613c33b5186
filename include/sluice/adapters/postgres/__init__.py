"""The ledger, its reading side, the vector cache and the keyring on PostgreSQL 18."""
