"""A small corpus through every command and every route: their answers, with what differs from run to run as types.

`answers(…)` runs it on engines that are there; `merged` makes of two runs what is recorded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from support.release_doors import command, service

Answers = dict[str, dict[str, Any]]

TEXTS = {
    "owls.md": "# Owls\n\nThe barn owl hunts voles above wet meadows near Vienna.\n\n## Nests\n\nIt nests in towers.\n",
    "bread.md": "# Bread\n\nRye sourdough wants a long, cool fermentation, as Maria Huber says.\n",
    "ferry.txt": "The ferry crosses the Danube at nine, at noon and at dusk.\n",
    "table.csv": "name,weight\nowl,300\nvole,30\n",
    "page.html": "<html><title>Tea</title><body><h1>Tea</h1><p>Green tea is steeped at 70 degrees.</p></body></html>",
    "letter.md": "# Letter\n\n" + "He crosses at nine, at noon and at dusk, and never late. " * 20,
}
_LEFT_OUT = ("SLUICE_MARQUEZ_URL", "SLUICE_AIRFLOW_DATABASE_URL", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
LETTER = "Dear ferryman, the owls nest above the quay. " * 30


class Corpus:
    """One ledger, one collection, one folder; every answer under the name of what was asked."""

    def __init__(self, environment: Mapping[str, str], work: Path, collection: str) -> None:
        self.folder, self.collection = work / "in", collection
        self.folder.mkdir()
        for name, text in TEXTS.items():
            (self.folder / name).write_text(text)
        self.uri = self.folder.as_uri()
        self.environment = {
            **environment,
            "SLUICE_HOME": str(work / "home"),
            "SLUICE_FILE_ROOTS": str(work),
            "SLUICE_EMBEDDER": "hash:32",
            **dict.fromkeys(_LEFT_OUT, ""),
        }
        self._words = {str(work): "/corpus", collection: "corpus"}
        self.answers: Answers = {}

    def run(self, name: str, *words: str) -> Any:
        """The answer of one command; its output as JSON where it is asked for that."""
        said = command(self.environment, words)
        output = self._read(said.out) if "--json" in words and said.out else None
        told_wrong = bool(said.err) if said.code not in (0, 3) else None
        self.answers[f"sluice {name}"] = {"exit": said.code, "says what is wrong": told_wrong, "json": output}
        return json.loads(said.out) if output is not None else said.out

    def call(self, client: Any, name: str, method: str, path: str, **given: Any) -> Any:
        answer = client.request(method, f"/api/v1{path}", **{"headers": {"Authorization": "Bearer ann"}, **given})
        media = answer.headers["content-type"]
        output = self._read(answer.text) if "json" in media else None
        self.answers[f"{method} {name}"] = {"status": answer.status_code, "type": media, "json": output}
        return answer.json() if output is not None else answer.text

    def _read(self, text: str) -> Any:
        for own, word in self._words.items():
            text = text.replace(own, word)
        return _keyed(json.loads(text))


def answers(environment: Mapping[str, str], work: Path, collection: str) -> Answers:
    corpus = Corpus(environment, work, collection)
    _empty(corpus)
    _ingest(corpus)
    _look(corpus)
    with service(corpus.environment) as client:
        _ask(corpus, client)
        _refused(corpus, client)
    with service(corpus.environment, queues=False) as client:
        form = {"files": {"file": ("a.txt", b"x")}, "data": {"collection": collection}}
        corpus.call(client, "documents, without Airflow", "POST", "/documents", **form)
    _change(corpus)
    _remove(corpus)
    return corpus.answers


def _empty(corpus: Corpus) -> None:
    corpus.run("migrate", "migrate")
    for name in ("status", "doctor", "reconcile"):
        corpus.run(f"{name}, empty", name, "--json")
    for name in ("collections", "sources", "tenants", "access"):
        corpus.run(f"{name} list, empty", name, "list", "--json")
    corpus.run("retention show, empty", "retention", "show", "--json")
    corpus.run("quarantine list, empty", "quarantine", "list", "--json")
    corpus.run("search, no collection", "search", "owls", "-c", "nowhere", "--json")
    corpus.run("ingest, not below a root", "ingest", "file:///etc", "-c", corpus.collection, "--json")
    corpus.run("ingest, no such option", "ingest", corpus.uri, "--surprise")


def _ingest(corpus: Corpus) -> None:
    where = ("-c", corpus.collection)
    (corpus.folder / "letter.md").rename(corpus.folder.parent / "letter.md")
    corpus.run("ingest --dry-run, new", "ingest", corpus.uri, *where, "--dry-run", "--json")
    corpus.run("ingest, new", "ingest", corpus.uri, *where, "--json")
    corpus.run("gates set", "gates", "set", "too_long", *where, "--action", "block", "--limit", "300")
    corpus.run("gates list", "gates", "list", *where, "--json")
    (corpus.folder.parent / "letter.md").rename(corpus.folder / "letter.md")
    (corpus.folder / "bread.md").write_text(TEXTS["bread.md"] + "\n## Salt\n\nTwo per cent of the flour.\n")
    (corpus.folder / "ferry.txt").rename(corpus.folder / "boat.txt")
    (corpus.folder / "table.csv").unlink()
    corpus.run("ingest --dry-run", "ingest", corpus.uri, *where, "--dry-run", "--json")
    corpus.run("ingest", "ingest", corpus.uri, *where, "--json")
    corpus.run("ingest, unchanged", "ingest", corpus.uri, *where, "--json")
    corpus.run("ingest --full", "ingest", corpus.uri, *where, "--full", "--json")
    corpus.run("ingest, no budget", "ingest", corpus.uri, *where, "--max-cost", "1", "--json")
    for user, *more in (("ann", "--write", "--group", "*"), ("bob", "--group", "birds")):
        corpus.run(f"grant {user}", "grant", user, *more, "--json")
    corpus.run("grant ann again", "grant", "ann", "--write", "--group", "*", "--json")
    corpus.run("grant, no such tenant", "grant", "ann", "--tenant", "nowhere", "--json")


def _look(corpus: Corpus) -> None:
    where = ("-c", corpus.collection)
    for name in ("status", "doctor"):
        corpus.run(name, name, "--json")
    for name in ("collections", "sources", "tenants", "access"):
        corpus.run(f"{name} list", name, "list", "--json")
    corpus.run("access list --collection", "access", "list", *where, "--json")
    corpus.run("reconcile", "reconcile", *where, "--json")
    corpus.run("reconcile --deep --repair", "reconcile", *where, "--deep", "--repair", "--json")
    corpus.run("search", "search", "barn owl voles", *where, "--json")
    corpus.run("search --filter", "search", "owl", *where, "--filter", "mime=text/html", "-k", "1", "--json")
    corpus.run("search, no such field", "search", "owl", *where, "--filter", "nofield=1", "--json")
    result = corpus.run("quarantine list", "quarantine", "list", *where, "--json")["quarantine"]
    corpus.run("quarantine show", "quarantine", "show", result[0]["document_id"], "--json")
    corpus.run("quarantine show, no such", "quarantine", "show", "6b1f4a10-6a35-4c9e-9a55-6a1d5b0f0f3e", "--json")
    queries, qrels = corpus.folder.parent / "queries.jsonl", corpus.folder.parent / "qrels.tsv"
    queries.write_text('{"_id": "q1", "text": "barn owl voles"}\n{"_id": "q2", "text": "rye sourdough"}\n')
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\towls.md\t1\nq2\tbread.md\t1\n")
    corpus.run("eval", "eval", "--queries", str(queries), "--qrels", str(qrels), *where, "--json")


def _ask(corpus: Corpus, client: Any) -> None:
    name, where = corpus.collection, {"params": {"collection": corpus.collection}}
    query = {"query": "barn owl voles", "collection": name}
    result = corpus.call(client, "search", "POST", "/search", json=query)["results"][0]
    corpus.call(client, "search, explained", "POST", "/search", json={**query, "explain": True, "top_k": 2})
    only = {"filters": {"mime": "text/html"}, "legs": ["sparse"], "top_k": 1}
    corpus.call(client, "search, filtered", "POST", "/search", json={**query, **only})
    for path in ("collections", "sources", "access"):
        corpus.call(client, path, "GET", f"/{path}")
    corpus.call(client, "collections/{collection}", "GET", f"/collections/{name}")
    corpus.call(client, "documents", "GET", "/documents", params={**where["params"], "limit": 2})
    document, chunk, run = (result[each] for each in ("document_id", "chunk_id", "run_id"))
    corpus.call(client, "documents/{document_id}", "GET", f"/documents/{document}")
    corpus.call(client, "passages/{chunk_id}", "GET", f"/passages/{chunk}")
    corpus.call(client, "passages/{chunk_id}/lineage", "GET", f"/passages/{chunk}/lineage")
    refused = corpus.call(client, "quarantine", "GET", "/quarantine", **where)["quarantine"][0]
    own = f"/quarantine/{refused['document_id']}"
    corpus.call(client, "quarantine/{document_id}", "GET", own)
    corpus.call(client, "quarantine/{document_id}/replay", "POST", f"{own}/replay", json={})
    corpus.call(client, "runs/{run_id}/gates", "GET", f"/runs/{run}/gates")
    corpus.call(client, "runs/{run_id}/gates, with what failed", "GET", f"/runs/{refused['run_id']}/gates")
    for path in ("health", "health/live", "health/ready"):
        corpus.call(client, path, "GET", f"/{path}")
    form = {"collection": name, "title": "A letter", "metadata": json.dumps({"category": "letters"})}
    corpus.call(client, "documents", "POST", "/documents", files={"file": ("sent.txt", LETTER.encode())}, data=form)
    dry = {"params": {"dry_run": True}}
    corpus.call(client, "documents/{document_id}, dry", "DELETE", f"/documents/{document}", **dry)
    corpus.call(client, "documents/{document_id}", "DELETE", f"/documents/{document}")
    corpus.call(client, "documents/{document_id}/restore", "POST", f"/documents/{document}/restore", json={})
    source = {"collection": name, "uri": corpus.uri, "documents": "keep"}
    corpus.call(client, "sources, dry", "DELETE", "/sources", params=source)
    corpus.call(client, "collections/{collection}, dry", "DELETE", f"/collections/{name}")
    corpus.call(client, "grants/{principal}", "DELETE", "/grants/bob")


def _refused(corpus: Corpus, client: Any) -> None:
    name = corpus.collection
    no_such = "6b1f4a10-6a35-4c9e-9a55-6a1d5b0f0f3e"
    body = {"query": "owl", "collection": name}
    corpus.call(client, "search, stranger", "POST", "/search", json=body, headers={})
    corpus.call(client, "search, no grant", "POST", "/search", json=body, headers={"Authorization": "Bearer eve"})
    corpus.call(client, "search, no collection", "POST", "/search", json={**body, "collection": "nowhere"})
    corpus.call(client, "search, no query", "POST", "/search", json={"collection": name})
    corpus.call(client, "search, no JSON", "POST", "/search", content=b"owl")
    corpus.call(client, "documents/{document_id}, no such", "GET", f"/documents/{no_such}")
    corpus.call(client, "passages/{chunk_id}, no such", "GET", f"/passages/{no_such}")
    corpus.call(client, "quarantine/{document_id}, no such", "GET", f"/quarantine/{no_such}")
    corpus.call(client, "documents, no collection", "POST", "/documents", files={"file": ("a.txt", b"x")})
    corpus.call(client, "nothing", "GET", "/nothing")


def _change(corpus: Corpus) -> None:
    where, uploads = ("-c", corpus.collection), f"uploads://default/{corpus.collection}"
    corpus.run("ingest, uploads", "ingest", uploads, *where, "--json")
    corpus.run("gates unset", "gates", "unset", "too_long", *where)
    corpus.run("quarantine replay", "quarantine", "replay", *where, "--json")
    corpus.run("quarantine replay, nothing named", "quarantine", "replay", "--json")
    corpus.run("sources add", "sources", "add", corpus.uri, *where, "--schedule", "0 4 * * *")
    corpus.run("sources pause", "sources", "pause", corpus.uri, *where)
    corpus.run("sources list, paused", "sources", "list", *where, "--json")
    corpus.run("sources resume", "sources", "resume", corpus.uri, *where)
    corpus.run("sources set", "sources", "set", corpus.uri, *where, "--schedule", "nightly")
    corpus.run("tenants set", "tenants", "set", "default", "--max-documents", "100", "--json")
    corpus.run("retention set", "retention", "set", *where, "--days", "30")
    ends = ("--until", "2020-01-31", "--yes")
    corpus.run("retention set --source", "retention", "set", *where, "--source", uploads, *ends)
    corpus.run("retention show", "retention", "show", "--json")
    listed = corpus.run("purge", "purge", *where, "--json")
    again = ("--as-of", listed["as_of"], "--listed", listed["listed"])
    corpus.run("purge, another list", "purge", *where, "--apply", "--listed", "0" * 8, "--json")
    corpus.run("purge --apply", "purge", *where, "--apply", *again, "--json")
    corpus.run("retention unset", "retention", "unset", *where)
    corpus.run("prune", "prune", "--json")
    corpus.run("prune --apply", "prune", "--apply", "--json")


def _remove(corpus: Corpus) -> None:
    where = ("-c", corpus.collection)
    corpus.run("ingest, restored", "ingest", corpus.uri, *where, "--json")
    results = corpus.run("search, after all", "search", "owl tea bread", *where, "--json")["results"]
    ids = sorted({each["document_id"] for each in results})[:2]
    corpus.run("documents delete", "documents", "delete", *ids, "--json")
    corpus.run("documents delete --apply", "documents", "delete", *ids, "--apply", "--json")
    corpus.run("documents restore", "documents", "restore", *ids, "--json")
    corpus.run("sources remove", "sources", "remove", corpus.uri, *where, "--with-documents", "--json")
    corpus.run(
        "sources remove --apply", "sources", "remove", corpus.uri, *where, "--keep-documents", "--apply", "--json"
    )
    corpus.run("revoke", "revoke", "ann", "--yes", "--json")
    corpus.run("grant --remove, no grant", "grant", "bob", "--remove", "--json")
    corpus.run("collections delete", "collections", "delete", corpus.collection, "--json")
    corpus.run("collections delete --apply", "collections", "delete", corpus.collection, "--apply", "--json")
    corpus.run("status, removed", "status", "--json")


# --- forms -------------------------------------------------------------------------------------------------------

_PLACES: dict[str, re.Pattern[str]] = {
    "<uuid>": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "<time>": re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*"),
    "<hex>": re.compile(r"[0-9a-f]{16,}"),
    "<text>": re.compile(r"(?s).*"),
}
_VARIES = (
    "version",
    "detail",
    "reason",
    "message",
    "title",
    "label",
    "description",
    "observed_in_words",
    "expectation",
)


def _is(place: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and bool(place.fullmatch(value))


_TYPES: dict[str, Callable[[Any], bool]] = {
    "<number>": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    **{name: partial(_is, place) for name, place in _PLACES.items()},
}


def _keyed(value: Any) -> Any:
    """Lists as objects, so that a difference says where it is: by code or name where the elements have one."""
    if isinstance(value, dict):
        return {key: _keyed(each) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    for names in (("suite", "code"), ("name",)):
        keys = [" ".join(str(each[name]) for name in names) for each in value if _has(each, names)]
        if keys and len(set(keys)) == len(value):
            return {key: _keyed(each) for key, each in zip(keys, value, strict=True)}
    return {"#": len(value), **{str(place): _keyed(each) for place, each in enumerate(value)}}


def _has(value: Any, names: tuple[str, ...]) -> bool:
    return isinstance(value, dict) and all(name in value for name in names)


def merged(first: Any, second: Any, key: str = "") -> Any:
    """What is recorded: values where two runs agree and no text is for readers alone, else types."""
    if isinstance(first, dict) and isinstance(second, dict):
        assert first.keys() == second.keys(), first.keys() ^ second.keys()
        return {each: merged(first[each], second[each], each) for each in first}
    if isinstance(first, float) or (first != second and _TYPES["<number>"](first)):
        return "<number>"
    if isinstance(first, str):
        for name, place in _PLACES.items():
            if place.fullmatch(first) and (name != "<text>" or first != second or key in _VARIES):
                return name
    assert first == second, (key, first, second)
    return first


def differences(recorded: Any, now: Any, where: str = "") -> list[str]:
    """Keys may be added, not changed; a list has as many elements as it had."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        gone = [f"{where}/{key} is gone" for key in recorded if key not in now]
        both = [(key, each) for key, each in recorded.items() if key in now]
        return gone + [output for key, each in both for output in differences(each, now[key], f"{where}/{key}")]
    if isinstance(recorded, str) and recorded in _TYPES:
        same = _TYPES[recorded](now)
    else:
        same = type(recorded) is type(now) and recorded == now
    return [] if same else [f"{where} was {json.dumps(recorded)} and is {json.dumps(now)}"]
