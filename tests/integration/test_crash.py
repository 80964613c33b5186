"""A crash at any call of the load path, before or after it took effect: a rerun converges, nothing is paid twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from failing import CALLS, Crash, Crashing
from sluice import flow
from sluice.model import ALL_GROUPS, Principal, SearchRequest, SourceSpec
from sluice.ports import Tools
from sluice.wiring import searcher

BEFORE = "# Harbour\n\nThe ferry leaves at nine.\n\n## Tickets\n\nBuy them on the quay.\n"
AFTER = "# Harbour\n\nThe ferry leaves at ten.\n\n## Tickets\n\nBuy them on the quay.\n"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("port", "method"), CALLS)
def test_a_rerun_converges(
    make_tools: Callable[..., Tools], tmp_path: Path, name: str, port: str, method: str, after: bool
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "harbour.md").write_text(BEFORE)
    (folder / "gone.md").write_text("# Gone\n\nA page that will be deleted.\n")
    tools, spec = make_tools([tmp_path]), SourceSpec(folder.as_uri(), name, tenant=name)
    flow.ingest(tools, spec)

    (folder / "harbour.md").write_text(AFTER)
    (folder / "gone.md").unlink()
    (folder / "new.md").write_text("# New\n\nA page about lighthouses.\n")
    broken = Crashing(getattr(tools, port), method, after)
    with pytest.raises(Crash):
        flow.ingest(replace(tools, **{port: broken}), spec)
    assert broken.died
    served = texts(tools, name)
    assert "ferry leaves at nine" in served or "ferry leaves at ten" in served
    assert not ("ferry leaves at nine" in served and "ferry leaves at ten" in served), "a mix of two versions"

    summary = flow.ingest(tools, spec)  # finds every store equal, or raises Disagreement
    assert summary["embeddings"]["computed"] == (2 if (port, method, after) == ("cache", "store", False) else 0)
    served = texts(tools, name)
    assert "ferry leaves at ten" in served and "nine" not in served
    assert "lighthouses" in served and "deleted" not in served
    generation = next(each for each in tools.ledger.generations() if each.collection == name)
    assert tools.graph is not None
    chunks = tools.ledger.counts(generation).chunks
    assert (tools.vectors.count(generation), tools.graph.count(generation)) == (chunks, chunks)


def texts(tools: Tools, collection: str) -> str:
    principal = Principal("tester", collection, frozenset({ALL_GROUPS}))
    found = searcher(tools)(SearchRequest("ferry tickets lighthouse page", collection, 50), principal)
    return "\n".join(passage.text for passage in found.passages)
