"""Evaluation on real engines: golden sets by the command line, and a worsened index that must be noticed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from typer.testing import CliRunner

from sluice.cli import app
from sluice.maintenance.evaluation import EvaluationRequest
from sluice.model.evaluation import FUSED
from sluice.model.generation import Generation
from sluice.model.golden import GoldenSet, JudgedQuery, Judgement
from sluice.model.grants import Principal
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.model.weights import DEFAULT, LearnedWeights, Weights
from sluice.pipeline.requests import IngestRequest
from sluice.retrieval.golden import Golden
from sluice.wiring.application import Sluice
from support.agreement import Stores
from support.engines import EngineStack
from support.ledger_rows import LedgerDatabase, opened

BIRDS = (
    *("albatross", "bittern", "cormorant", "dunlin", "egret", "falcon", "gannet", "heron", "ibis"),
    *("jackdaw", "kestrel", "lapwing", "merlin", "nightjar", "osprey", "puffin", "quail", "redshank"),
)
SECRET = "zebrafinchquestion"
READER = Principal("ann", "default", frozenset({"*"}))


@pytest.fixture
def ingested(make_sluice: Callable[..., Sluice], tmp_path: Path, name: str) -> Sluice:
    """A collection with one document for each bird."""
    folder = tmp_path / "in"
    folder.mkdir()
    for bird in BIRDS:
        (folder / f"{bird}.md").write_text(f"# The {bird}\n\nThe {bird} nests on the coast in spring.\n")
    sluice = make_sluice([tmp_path], graph="off")
    sluice.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name)))
    return sluice


@pytest.fixture
def run(ingested: Sluice, stack: EngineStack, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a command; its JSON, or its output where it fails."""
    for setting, value in stack.environment.items():
        monkeypatch.setenv(setting, value)
    monkeypatch.setenv("SLUICE_GRAPH", "off")

    def command(*words: str, code: int = 0) -> Any:
        result = CliRunner().invoke(app, [*words, "--json"])
        assert result.exit_code == code, (result.output, result.exception)
        return json.loads(result.stdout) if code in (0, 1) and result.stdout else result

    return command


def judged(folder: Path) -> Path:
    path = folder / "golden.csv"
    rows = "".join(f"where does the {bird} {SECRET} nest,{bird}.md\n" for bird in BIRDS)
    path.write_text(f"query,external_id\n{rows}")
    return path


def generation_of(sluice: Sluice, name: str) -> Generation:
    return next(each for each in sluice.ledger.collections.generations() if each.collection == name)


def delete_half(sluice: Sluice, name: str) -> None:
    """Of the points, and not of the ledger."""
    generation = generation_of(sluice, name)
    ids = sorted({each.chunk_id for each in sluice.ledger.reconciliation.chunks_after(generation, None, 1000)})
    sluice.vectors.delete(generation, ids[::2])


def test_a_worsened_index_is_noticed(
    ingested: Sluice, run: Callable[..., Any], stores: Stores, tmp_path: Path, name: str
) -> None:
    stored = run("golden", "import", str(judged(tmp_path)), "-c", name)
    assert (stored["queries"], stored["origins"], stored["unknown_documents"]) == (18, {"import": 18}, 0)

    first = run("eval", "--golden", "default", "-c", name, "--save")
    assert first["ndcg@10"] > 0.9 and set(first["retrievers"]) >= {"dense", "sparse", FUSED}
    assert first["comparison"]["baseline_id"] is None
    again = run("eval", "--golden", "default", "-c", name, "--save")
    assert (again["comparison"]["drop"], again["comparison"]["result"]) == (0.0, "passed")
    assert again["golden_version"] == first["golden_version"] == stored["version"]

    delete_half(ingested, name)
    worse = run("eval", "--golden", "default", "-c", name, "--save")
    assert worse["comparison"]["result"] == "warning" and worse["comparison"]["drop"] > 0.2
    assert worse["comparison"]["baseline_id"] == again["evaluation_id"]
    still = run("eval", "--golden", "default", "-c", name, "--save")
    assert still["comparison"]["result"] == "warning", "it is compared with the last that passed, not with the warning"
    (of_run,) = _gates(ingested, name)
    assert (of_run.suite, of_run.success, of_run.blocking) == ("retrieval", False, False)

    for limit in ("-0.1", "7"):
        refused = CliRunner().invoke(app, ["gates", "set", "quality_drop", "-c", name, f"--limit={limit}"])
        assert refused.exit_code and "takes 0 to 1" in str(refused.exception)
    run_of_gates = ["gates", "set", "quality_drop", "--collection", name, "--action", "block"]
    assert CliRunner().invoke(app, run_of_gates).exit_code == 0
    assert run("eval", "--golden", "default", "-c", name, "--save", code=1)["comparison"]["result"] == "failed"
    accepted = run("eval", "--golden", "default", "-c", name, "--save", "--accept-drop")
    assert accepted["comparison"]["accepted"] is True
    assert run("eval", "--golden", "default", "-c", name, "--save")["comparison"]["drop"] == 0.0
    history = ingested.ledger.evaluations.history("default", name, limit=50)
    assert [each.comparison.result for each in history if each.comparison] == [
        "passed", "passed", "failed", "warning", "warning", "passed", "passed",
    ]  # fmt: skip
    assert history[0].generation == 1 and history[0].profile.embedder == "hash:64" and history[0].run_id


def _gates(sluice: Sluice, name: str) -> list[Any]:
    run_id = sluice.ledger.evaluations.last_run(generation_of(sluice, name), "default")
    assert run_id is not None
    return sluice.ledger.quality.gates(sluice.ledger.runs.get(run_id), -1)


def test_no_question_is_readable_in_a_database(
    ingested: Sluice, run: Callable[..., Any], stack: EngineStack, tmp_path: Path, name: str
) -> None:
    import psycopg

    from support.scratch_databases import libpq

    run("golden", "import", str(judged(tmp_path)), "-c", name)
    run("eval", "--golden", "default", "-c", name, "--save")
    with psycopg.connect(libpq(stack.environment["SLUICE_DATABASE_OWNER_URL"])) as connection:
        tables = [
            table
            for (table,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        ]
        assert {"questions", "golden_queries", "evaluations"} <= set(tables)
        for table in tables:
            rows = connection.execute(f'SELECT t::text FROM "{table}" t').fetchall()
            for (row,) in rows:
                assert SECRET not in row and SECRET.encode().hex() not in row, table


def test_golden_sets_by_the_command_line(ingested: Sluice, run: Callable[..., Any], tmp_path: Path, name: str) -> None:
    where = ("-c", name, "--name", "mine")
    run("golden", "add", "who dives for fish", "--external-id", "osprey.md", "--external-id", "gannet.md", *where)
    added = run("golden", "add", "who  dives for fish ", "--external-id", "puffin.md", "--gain", "0.5", *where)
    assert (added["queries"], added["judgements"]) == (1, 3), "the same question, however it is spaced"
    shown = run("golden", "show", *where)
    (question,) = shown["questions"]
    assert {each["external_id"] for each in question["judgements"]} == {"osprey.md", "gannet.md", "puffin.md"}
    assert all(each["document_id"] for each in question["judgements"])
    exported = CliRunner().invoke(app, ["golden", "export", *where]).stdout
    copy = tmp_path / "copy.jsonl"
    copy.write_text(exported)
    twin = run("golden", "import", str(copy), "-c", name, "--name", "twin")
    assert twin["version"] == shown["version"]
    listed = run("golden", "list", "-c", name)["golden_sets"]
    assert [each["name"] for each in listed] == ["mine", "twin"]
    kept = run("golden", "remove", "-c", name, "--name", "twin")
    assert kept == {"removed": 1, "keys_destroyed": 0}, "the other set has the question, too"
    question_id = ingested.golden.question_id(generation_of(ingested, name), "default", "who dives for fish")
    assert str(question_id) == question["question_id"]
    gone = run("golden", "remove", *where, "--question", question["question_id"])
    assert gone == {"removed": 1, "keys_destroyed": 1} and ingested.keyring.get([question_id]) == {}
    assert "no golden set" in str(run("golden", "show", "-c", name, "--name", "none", code=1).exception)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("golden", "add", "a"), "--external-id or --document"),
        (
            (
                "golden",
                "import",
            ),
            "Give one file",
        ),
        (("golden", "add", "a", "--external-id", "x", "--name", "No Name"), "cannot be a golden set's name"),
        (("golden", "add", "a", "--external-id", "x", "--name", "files"), "evaluations of files"),
        (("golden", "add", "a", "--document", "0190c9a0-0000-7000-8000-000000000001"), "has no document"),
        (("golden", "remove", "--name", "absent"), "no golden set 'absent'"),
        (("golden", "accept", "0190c9a0-0000-7000-8000-000000000001"), "no open feedback"),
        (("eval",), "--golden with the name"),
        (("eval", "--golden", "a", "--accept-drop"), "needs --save"),
        (("eval", "--golden", "absent"), "no golden set 'absent'"),
    ],
)
def test_a_mistake_is_told(run: Callable[..., Any], name: str, words: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(app, [*words, "--collection", name])
    assert message in str(result.exception)


def test_files_are_evaluated_as_before_and_saved_on_request(
    ingested: Sluice, run: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    queries, qrels = tmp_path / "queries.jsonl", tmp_path / "qrels.tsv"
    queries.write_text("".join(json.dumps({"_id": bird, "text": f"the {bird} nests"}) + "\n" for bird in BIRDS))
    qrels.write_text("query-id\tcorpus-id\tscore\n" + "".join(f"{bird}\t{bird}.md\t1\n" for bird in BIRDS))
    files = ("--queries", str(queries), "--qrels", str(qrels), "-c", name)
    plain = run("eval", *files)
    assert {"ndcg@10", "recall@10", "mrr", "all_gold@10", "queries", "intervals"} <= set(plain)
    assert plain["queries"] == 18 and set(plain["retrievers"]) == {FUSED}
    assert ingested.ledger.evaluations.history("default", name, limit=9) == []
    saved = run("eval", *files, "--save")
    assert saved["golden_set"] == "files" and set(saved["retrievers"]) >= {"dense", "sparse"}
    stored = run("golden", "import", *files[:4], "-c", name)
    assert stored["queries"] == 18


def test_deleting_the_collection_destroys_the_questions(
    ingested: Sluice, run: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    run("golden", "import", str(judged(tmp_path)), "-c", name)
    ingested.evaluation.evaluate(EvaluationRequest("default", name, "default"))
    questions = ingested.ledger.golden.of_tenant(generation_of(ingested, name), "default")
    assert len(ingested.keyring.get(questions)) == 18
    report = ingested.deletion.delete_collection(name, actor="cli")
    assert report.dropped is True
    assert ingested.keyring.get(questions) == {} and ingested.ledger.golden.sets(collection=name) == []


def test_an_unchanged_collection_is_not_evaluated_again(ingested: Sluice, run: Any, tmp_path: Path, name: str) -> None:
    run("golden", "import", str(judged(tmp_path)), "-c", name)
    unchanged = EvaluationRequest("default", name, "default", changed=False)
    assert ingested.evaluation.evaluate(unchanged) is not None, "never evaluated"
    assert ingested.evaluation.evaluate(unchanged) is None
    run("golden", "add", "which bird is large", "--external-id", "albatross.md", "-c", name)
    assert ingested.evaluation.evaluate(unchanged) is not None, "the golden set has changed"
    (tmp_path / "in" / "wren.md").write_text("# The wren\n\nThe wren nests in hedges.\n")
    ingest = IngestRequest(SourceSpec((tmp_path / "in").as_uri(), name))
    ingested.ingestion.ingest(ingest)  # and the evaluation after it fails
    ingested.ingestion.ingest(ingest)
    assert ingested.evaluation.evaluate(unchanged) is not None, "an earlier change was not evaluated"
    assert ingested.evaluation.evaluate(unchanged) is None
    delete_half(ingested, name)
    for _ in range(2):
        worse = ingested.evaluation.evaluate(replace(unchanged, changed=True))
        assert worse is not None and worse.comparison is not None and worse.comparison.result == "warning"
        assert ingested.evaluation.evaluate(unchanged) is not None, "a drop is reported until the quality is back"


def test_a_golden_set_has_one_version(ingested: Sluice, run: Any, tmp_path: Path, name: str) -> None:
    """Also where a question has no relevant document."""
    run("golden", "import", str(judged(tmp_path)), "-c", name)
    stored = run("golden", "add", "which bird", "--external-id", "egret.md", "--gain", "0", "-c", name)
    assert run("eval", "--golden", "default", "-c", name)["golden_version"] == stored["version"]


def test_weights_are_learned_where_they_help(
    make_sluice: Callable[..., Sluice], run: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    """Short documents resemble every question more than its answer does, which alone has its rarest word."""
    folder = tmp_path / "numbered"
    folder.mkdir()
    words = [f"{bird}{place}" for bird in BIRDS for place in ("north", "south")]
    for word in words:
        text = f"The {word} moves inland when winter comes, feeds along rivers, and returns late each year.\n"
        (folder / f"{word}.md").write_text(text)
    for place in ("coast", "cliff", "marsh", "island"):
        (folder / f"{place}.md").write_text(f"Does it nest on {place} in spring?\n")
    sluice = make_sluice([tmp_path], graph="off")
    sluice.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name)))
    path = tmp_path / "numbered.csv"
    rows = "".join(f"does {word} nest on coast in spring,{word}.md\n" for word in words)
    path.write_text(f"query,external_id\n{rows}")

    few = run("tune", "-c", name)
    assert (few["questions"], few["changed"], few["learned"]) == (0, False, None)
    run("golden", "import", str(path), "-c", name)
    before = run("eval", "--golden", "default", "-c", name)["ndcg@10"]
    tuned = run("tune", "-c", name)
    assert tuned["changed"] and tuned["weights"]["dense"] < tuned["before"]["dense"]
    assert tuned["learned"]["gain"] > 0 and tuned["learned"]["p"] < 0.05
    assert run("eval", "--golden", "default", "-c", name)["ndcg@10"] > before
    generation = generation_of(sluice, name)
    stored = sluice.ledger.evaluations.weights(generation, "default")
    assert stored is not None and stored.weights.to_json() == tuned["weights"] and stored.learned_at is not None

    assert run("tune", "-c", name)["weights"] == tuned["weights"], "what is used stays unless others are better"
    assert run("tune", "-c", name, "--reset")["changed"]
    assert sluice.ledger.evaluations.weights(generation, "default") is None
    assert run("eval", "--golden", "default", "-c", name)["ndcg@10"] == before


def test_weights_are_those_of_the_tenant(ingested: Sluice, name: str) -> None:
    """Judgements of one tenant change nothing that another tenant finds in the same collection."""
    generation = generation_of(ingested, name)
    learned = LearnedWeights(Weights(0.3, 0.1, 0.4), 40, 0.02, 0.01)
    ingested.ledger.evaluations.learn_weights(generation, "default", learned)
    assert ingested.catalog.live(name, READER).weights == learned.weights
    found = ingested.search(SearchRequest("where does the heron nest", name), READER)
    assert found.degraded == () and found.passages
    other = f"{name}b"
    opened(LedgerDatabase(ingested.catalog._engine), SourceSpec("file:///b", name, tenant=other))  # type: ignore[attr-defined]
    assert ingested.catalog.live(name, replace(READER, tenant=other)).weights == DEFAULT
    ingested.golden.remove_all(generation, "default")
    assert ingested.ledger.evaluations.weights(generation, "default") is None


def test_a_question_that_is_removed_and_added_at_once_stays_readable(ingested: Sluice, name: str) -> None:
    """Its key is destroyed only while nothing uses it, and a write with a destroyed key is repeated."""
    generation, golden = generation_of(ingested, name), ingested.golden
    heron = JudgedQuery("1", "where does the heron nest", (Judgement("heron.md", 1.0),))

    def add(of: Golden, to: str) -> GoldenSet:
        return of.add(generation, "default", to, [heron])

    unused = golden.sets.remove(add(golden, "first"))
    second = add(golden, "second")  # before the removal goes on
    assert golden.sets.forget(unused, golden.keyring.destroy) == 0
    assert len(golden.read("default", name, "second")) == 1

    class Interrupted:
        """A removal ends between the reading of a key and the write."""

        def __init__(self) -> None:
            self.calls = 0

        def __getattr__(self, attribute: str) -> Any:
            return getattr(golden.keyring, attribute)

        def create(self, ids: Sequence[UUID]) -> dict[UUID, bytes]:
            keys = golden.keyring.create(ids)
            self.calls += 1
            if self.calls == 1:
                assert golden.remove(second) == 1
            return keys

    keyring = Interrupted()
    add(replace(golden, keyring=keyring), "third")
    assert keyring.calls == 3, "the write was repeated with the new key"
    assert [each.text for each in golden.read("default", name, "third")] == [heron.text]


def test_an_exported_golden_set_serves_elsewhere(ingested: Sluice, run: Any, tmp_path: Path, name: str) -> None:
    """Its ids are of other documents there, so the names count; the last judgement of a document is used."""
    path = tmp_path / "exported.jsonl"
    heron = next(each for each in ingested.catalog.documents(READER, name, 100) if each.external_id == "heron.md")
    rows = [
        {"query": "where does it nest", "external_id": "heron.md", "document_id": str(uuid4())},
        {"query": "where does it nest", "external_id": "heron.md", "gain": 2},
        {"query": "where does it nest", "document_id": str(heron.document_id), "gain": 3},
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    stored = run("golden", "import", str(path), "-c", name)
    assert (stored["judgements"], stored["unknown_documents"]) == (1, 0)
    (query,) = ingested.golden.read("default", name, "default")
    assert [(each.document_id, each.gain) for each in query.judgements] == [(heron.document_id, 3.0)]
