"""What a trigger form of `sluice_ingest` says of a source."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.airflow import ingest

PARAMS: dict[str, Any] = {
    **{"source": "file:///in", "collection": "docs", "tenant": "default"},
    **dict.fromkeys(("access_groups", "retention_days", "include", "exclude", "replay")),
    **{"mode": "incremental", "approve_shrink": False},
    **dict.fromkeys(("max_documents", "max_tokens", "max_cost", "batch_size")),
}


@pytest.mark.parametrize(
    ("typed", "stored"),
    [(None, None), ([], ()), (["hr", ""], ("hr",)), ([""], None), ([" ", ""], None), (["a", "b"], ("a", "b"))],
)
def test_blank_lines_of_a_form_are_no_groups(typed: list[str] | None, stored: tuple[str, ...] | None) -> None:
    """Only blank lines keep what is saved: they never open a source to everyone."""
    spec = ingest._request({**PARAMS, "access_groups": typed, "include": typed}, "airflow:sluice_ingest/manual").spec
    assert (spec.access_groups, spec.include) == (stored, stored)
