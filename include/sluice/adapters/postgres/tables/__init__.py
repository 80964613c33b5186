"""The typed tables of the ledger and of the key database. Migrations are checked against them for drift."""
