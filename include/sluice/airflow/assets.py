"""Airflow's assets of Sluice. An ingest produces `sluice_<collection>` (by an alias, since collections come and go) and
an event of `DOCUMENTS`; DAGs that read all collections name that one as an inlet."""

from __future__ import annotations

from airflow.sdk import Asset, AssetAlias

COLLECTIONS = AssetAlias("sluice_collections")
# Of all collections together. No collection can have an asset of this name.
DOCUMENTS = Asset(name="sluice.collections", uri="sluice://collections/")
# Sent by whoever knows that a saved source changed.
CHANGED = Asset(name="sluice_source_changed", uri="sluice://sources/changed")
