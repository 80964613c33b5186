"""Budgets and quotas on real engines: a run that is cut short leaves whole documents, and the next one goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from typer.testing import CliRunner

from sluice.cli import app
from sluice.errors import BadRequest
from sluice.model.costs import Quota
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support import steps
from support.failing import Crash, Crashing
from support.swapping import port_of, swapped

MakeTools = Callable[..., Sluice]
SMALL = "chars:100:0"
LINE = "A line of nine words that is like no {}.\n"


@pytest.fixture
def spec(tmp_path: Path, name: str) -> SourceSpec:
    """Ten documents of three short chunks each, whose texts are in no other document."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(10):
        parts = (f"## Part {part}\n\n" + LINE.format(f"{name}x{number}x{part}") for part in range(3))
        (folder / f"{number}.md").write_text("\n".join(parts))
    return SourceSpec(folder.as_uri(), name, tenant=name)


def cut(sluice: Sluice, batch_size: int = 3, **budget: Any) -> Sluice:
    return swapped(sluice, batch_size=batch_size, **budget)


def stores(sluice: Sluice, collection: str) -> set[int]:
    generation = next(each for each in sluice.ledger.collections.generations() if each.collection == collection)
    assert sluice.graph is not None
    return {
        sluice.ledger.collections.counts(generation).chunks,
        sluice.vectors.count(generation),
        sluice.graph.count(generation),
    }


def folder_of(spec: SourceSpec) -> Path:
    return Path(spec.uri.removeprefix("file://"))


def test_a_run_that_is_cut_short_goes_on_and_pays_nothing_twice(
    make_sluice: MakeTools, tmp_path: Path, spec: SourceSpec
) -> None:
    sluice = make_sluice([tmp_path], chunker=SMALL, embedding_price=0.02)
    whole = sluice.ingestion.ingest(
        IngestRequest(replace(spec, collection=f"{spec.collection}-whole", tenant=f"{spec.tenant}-whole"))
    ).to_json()
    tokens, texts = whole["cost"]["tokens"], whole["cost"]["texts"]
    assert texts == whole["embeddings"]["computed"] == 30 and whole["stopped"] is None and whole["remaining"] == 0
    assert whole["cost"]["money"] == pytest.approx(tokens * 0.02 / 1e6) and whole["cost"]["seconds"] > 0

    runs: list[dict[str, Any]] = []
    spent, some = 0, cut(sluice)
    (folder_of(spec) / "gone.md").write_text("# Gone\n\nIt will be.\n")
    sluice.ingestion.ingest(IngestRequest(replace(spec, include=("gone.md",))))
    (folder_of(spec) / "gone.md").unlink()
    every = replace(spec, include=())
    while not runs or runs[-1]["stopped"]:
        runs.append(some.ingestion.ingest(IngestRequest(every, max_tokens=tokens // 3, approve_shrink=True)).to_json())
        spent += runs[-1]["cost"]["tokens"]
        assert runs[-1]["cost"]["tokens"] <= tokens // 3
        assert len(stores(sluice, spec.collection)) == 1
        served = runs[-1]["documents"]["new"] + runs[-1]["remaining"]
        assert served == (10 if len(runs) == 1 else runs[-2]["remaining"])
        assert len(runs) < 9
    assert [run["stopped"] for run in runs[:-1]] == ["budget"] * (len(runs) - 1) and len(runs) >= 3
    deleted = [run["documents"]["deleted"] for run in runs]
    assert (deleted[0], sum(deleted)) == (0, 1), "while something is unread, what is missing may have been renamed"
    assert spent == tokens and sum(run["cost"]["texts"] for run in runs) == texts
    assert stores(sluice, spec.collection) == {30}
    again = some.ingestion.ingest(IngestRequest(every, "full", max_tokens=0)).to_json()
    assert again["stopped"] is None and again["cost"]["texts"] == 0, "what is in the cache costs nothing"


def test_a_document_that_moved_beyond_the_budget_keeps_its_id(
    make_sluice: MakeTools, tmp_path: Path, spec: SourceSpec
) -> None:
    sluice = make_sluice([tmp_path], chunker=SMALL)
    sluice.ingestion.ingest(IngestRequest(spec))
    who = Principal("tester", spec.tenant, frozenset({ALL_GROUPS}))
    before = {each.external_id: each.document_id for each in sluice.catalog.documents(who, spec.collection, 99)}
    (folder_of(spec) / "5.md").rename(folder_of(spec) / "five.md")
    with (folder_of(spec) / "five.md").open("a") as file:
        file.write("\n## More\n\nThat costs something.\n")
    stopped = sluice.ingestion.ingest(IngestRequest(spec, max_tokens=1)).to_json()
    assert (stopped["stopped"], stopped["remaining"], stopped["documents"]["deleted"]) == ("budget", 1, 0)
    assert len(stores(sluice, spec.collection)) == 1
    assert sluice.ingestion.ingest(IngestRequest(spec)).stopped is None
    after = {each.external_id: each.document_id for each in sluice.catalog.documents(who, spec.collection, 99)}
    assert after == {**{k: v for k, v in before.items() if k != "5.md"}, "five.md": before["5.md"]}
    assert len(stores(sluice, spec.collection)) == 1


def test_parallel_batches_cannot_overspend(make_sluice: MakeTools, tmp_path: Path, spec: SourceSpec) -> None:
    sluice, run_id = make_sluice([tmp_path], chunker=SMALL), uuid4()
    refs = sluice.checkpoints.plan(
        IngestRequest(spec, "incremental", run_id=run_id, orchestrator="tests:parallel", batch_size=2, max_tokens=150),
    )
    chunked = [steps.chunk(sluice, steps.validate(sluice, steps.extract(sluice, ref))) for ref in refs]
    with ThreadPoolExecutor(len(refs)) as pool:
        embedded = list(pool.map(lambda ref: steps.embed(sluice, ref), chunked))
    spent = sluice.ledger.costs.spent(sluice.ledger.runs.get(run_id))
    assert 0 < spent.tokens <= 150
    for ref in embedded:
        steps.load(sluice, ref)
    output = steps.finish(sluice, run_id)
    assert output["stopped"] == "budget" and output["remaining"] + output["documents"]["new"] == 10
    assert output["cost"]["tokens"] == spent.tokens
    assert len(stores(sluice, spec.collection)) == 1
    rest = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert rest["cost"]["texts"] == 30 - spent.texts and stores(sluice, spec.collection) == {30}


@pytest.mark.parametrize(
    ("port", "method", "after", "paid"),
    [
        ("costs", "reserve", True, 30),
        ("cache", "store", False, 30),
        ("cache", "store", True, 0),
        ("costs", "settle", True, 30),
    ],
)
def test_a_crash_around_the_embedder_locks_no_budget(
    make_sluice: MakeTools, tmp_path: Path, spec: SourceSpec, port: str, method: str, after: bool, paid: int
) -> None:
    sluice, run_id = make_sluice([tmp_path], chunker=SMALL), uuid4()
    (ref,) = sluice.checkpoints.plan(
        IngestRequest(spec, "incremental", run_id=run_id, orchestrator="tests:crash", max_tokens=1000)
    )
    ref = steps.chunk(sluice, steps.validate(sluice, steps.extract(sluice, ref)))
    with pytest.raises(Crash):
        steps.embed(swapped(sluice, **{port: Crashing(port_of(sluice, port), method, after)}), ref)
    steps.load(sluice, steps.embed(sluice, ref))
    output = steps.finish(sluice, run_id)
    assert (output["stopped"], output["documents"]["new"], output["cost"]["texts"]) == (None, 10, paid)
    assert stores(sluice, spec.collection) == {30}


def test_a_limit_in_money_needs_a_price(make_sluice: MakeTools, tmp_path: Path, spec: SourceSpec) -> None:
    sluice = make_sluice([tmp_path], chunker=SMALL)
    with pytest.raises(BadRequest, match="SLUICE_EMBEDDING_PRICE"):
        sluice.ingestion.ingest(IngestRequest(spec, max_cost=1.0))
    assert spec.collection not in [each.collection for each in sluice.ledger.collections.generations()]
    priced = make_sluice([tmp_path], chunker=SMALL, embedding_price=10.0, max_tokens_per_run=5)
    output = priced.ingestion.ingest(IngestRequest(spec, max_cost=0.001)).to_json()  # 100 tokens, in place of the 5
    assert output["stopped"] == "budget" and 5 < output["cost"]["tokens"] <= 100 and output["cost"]["money"] <= 0.001
    assert priced.ingestion.ingest(IngestRequest(spec)).cost.tokens <= 5


def test_beyond_the_quota_is_quarantined_unpaid_and_tried_again(
    make_sluice: MakeTools, tmp_path: Path, spec: SourceSpec
) -> None:
    sluice = make_sluice([tmp_path], chunker=SMALL)
    sluice.ledger.quotas.assign(spec.tenant, Quota(4))
    first = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (first["documents"]["new"], first["quarantine"], first["cost"]["texts"]) == (4, {"quota": 6}, 12)
    assert stores(sluice, spec.collection) == {12}
    again = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (again["documents"]["new"], again["quarantine"], again["documents"]["unchanged"]) == (0, {"quota": 6}, 4)
    (folder_of(spec) / "0.md").unlink()
    (folder_of(spec) / "1.md").unlink()
    assert sluice.ingestion.ingest(IngestRequest(spec)).documents.deleted == 2
    last = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (last["documents"]["new"], last["quarantine"]) == (2, {"quota": 4})
    sluice.ledger.quotas.assign(spec.tenant, Quota())
    assert sluice.ingestion.ingest(IngestRequest(spec)).quarantine == {}
    assert stores(sluice, spec.collection) == {24}


def test_at_the_quota_a_rename_and_a_smaller_edit_are_no_growth(
    make_sluice: MakeTools, tmp_path: Path, spec: SourceSpec
) -> None:
    sluice = make_sluice([tmp_path], chunker=SMALL)
    sluice.ingestion.ingest(IngestRequest(spec))
    use = sluice.ledger.quotas.use(spec.tenant)
    sluice.ledger.quotas.assign(spec.tenant, Quota(use.documents, use.size_bytes))
    (folder_of(spec) / "3.md").rename(folder_of(spec) / "three.md")
    output = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (output["documents"]["moved"], output["documents"]["deleted"], output["quarantine"]) == (1, 0, {})
    text = (folder_of(spec) / "4.md").read_text()
    (folder_of(spec) / "4.md").write_text(text[:-40])
    (folder_of(spec) / "6.md").write_text((folder_of(spec) / "6.md").read_text() + "longer " * 20)
    output = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (output["documents"]["changed"], output["quarantine"]) == (1, {"quota": 1})
    assert len(stores(sluice, spec.collection)) == 1


def test_two_runs_that_fill_the_quota_together_are_settled_by_the_ledger(
    make_sluice: MakeTools, tmp_path: Path, spec: SourceSpec
) -> None:
    sluice = make_sluice([tmp_path], chunker=SMALL)
    sluice.ledger.quotas.assign(spec.tenant, Quota(12))
    assert sluice.graph is not None
    lone = sluice.graph.orphans(100)  # of other tests
    loads = []
    for collection in (spec.collection, f"{spec.collection}-two"):
        run_id = uuid4()
        (ref,) = sluice.checkpoints.plan(
            IngestRequest(
                replace(spec, collection=collection), "incremental", run_id=run_id, orchestrator=f"tests:{collection}"
            ),
        )
        ref = steps.chunk(sluice, steps.validate(sluice, steps.extract(sluice, ref)))
        loads.append((run_id, steps.embed(sluice, ref)))  # each of them has room, as long as it is alone

    def finish(load: tuple[UUID, object]) -> dict[str, object]:
        steps.load(sluice, load[1])  # type: ignore[arg-type]
        return steps.finish(sluice, load[0])

    with ThreadPoolExecutor(2) as pool:
        output = list(pool.map(finish, loads))
    assert sorted(each["documents"]["new"] for each in output) == [2, 10]  # type: ignore[index]
    assert sorted(each["quarantine"].get("quota", 0) for each in output) == [0, 8]  # type: ignore[attr-defined]
    assert sluice.ledger.quotas.use(spec.tenant).documents == 12
    for collection in (spec.collection, f"{spec.collection}-two"):
        assert len(stores(sluice, collection)) == 1
    assert sluice.graph is not None and sluice.graph.orphans(100) == lone, "what was written and refused is gone"


def test_the_command_line_tells_costs_and_keeps_quotas(
    stack: object, tmp_path: Path, spec: SourceSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"SLUICE_FILE_ROOTS": str(tmp_path), "SLUICE_EMBEDDER": "hash:64", "SLUICE_EMBEDDING_PRICE": "1000"}
    for variable, value in {**stack.environment, **settings}.items():  # type: ignore[attr-defined]
        monkeypatch.setenv(variable, value)

    def sluice(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, words)
        return done.exit_code, done.stdout

    ingest = ("ingest", spec.uri, "--collection", spec.collection, "--tenant", spec.tenant)
    code, output = sluice(*ingest, "--max-cost", "0.1")
    assert code == 4, output
    assert "tokens in" in output and "US dollars" in output and "Stopped by the budget" in output
    code, output = sluice(*ingest, "--max-tokens", "0", "--json")
    assert (code, json.loads(output)["stopped"]) == (4, "budget")

    code, output = sluice("tenants", "set", spec.tenant, "--max-documents", "9", "--json")
    assert code == 0 and json.loads(output)["max_documents"] == 9 and json.loads(output)["max_bytes"] is None
    assert sluice(*ingest)[0] == 3
    assert f"tenant {spec.tenant}: 9 of 9 documents" in sluice("tenants", "list")[1]
    assert f"tenant {spec.tenant}: 9 of 9 documents" in sluice("status")[1]
    code, output = sluice("tenants", "set", spec.tenant, "--max-documents", "none", "--max-bytes", "1000000", "--json")
    assert json.loads(output)["max_documents"] is None and json.loads(output)["max_bytes"] == 1_000_000
    assert sluice(*ingest)[0] == 0
    for wrong in (["--max-bytes", "lots"], []):
        assert isinstance(CliRunner().invoke(app, ["tenants", "set", spec.tenant, *wrong]).exception, BadRequest)
