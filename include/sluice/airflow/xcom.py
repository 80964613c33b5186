"""Keys of what tasks of `sluice_ingest` leave in XCom beside their results."""

from __future__ import annotations

RUN = "sluice_run_id"  # of `plan`: the run in the ledger
DRY_RUN = "dry_run"  # of `plan`: the report of a dry run
NOTE = "note"  # of `plan` and `finish`: the run's note
