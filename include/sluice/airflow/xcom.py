"""Keys of what tasks leave in XCom beside their results."""

from __future__ import annotations

RUN = "sluice_run_id"  # of `plan` of `sluice_ingest`: the run in the ledger
DRY_RUN = "dry_run"  # of `plan` of `sluice_ingest`: the report of a dry run
NOTE = "note"  # of `plan` and `finish` of `sluice_ingest`: the result, for the run's note
ERROR = "error"  # of every task that failed after its last retry: the error, for the run's note
