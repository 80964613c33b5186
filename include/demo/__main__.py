"""`python -m demo [--source URI] [--only-up]`: see README."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from demo import corpus
from demo.server import Server, StepFailed
from devstack import Config, DevstackError, Stack

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = "demo"
QUESTIONS = (
    "How are database migrations generated and applied?",
    "send e-mail asynchronously",
    "retry a failed call with exponential backoff",
)
RUN_TIMEOUT_S = 1_800.0
_CLI = shlex.quote(str(Path(sys.executable).with_name("sluice")))  # with its folder, so that it works everywhere


def main() -> int:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--source", help="URI to ingest: file:///folder or jsonl:///file; default: the demo's corpus")
    parser.add_argument("--collection", help=f"default: {COLLECTION}, or `own` for your own source")
    parser.add_argument("--only-up", action="store_true", help="start engines and Airflow, ingest nothing")
    options = parser.parse_args()
    began_s = time.monotonic()
    try:
        if options.source:
            check(options.source)
        server = up(Stack(Config.from_env(ROOT, os.environ)))
        if not options.only_up:
            demonstrate(server, options.source, options.collection or ("own" if options.source else COLLECTION))
    except (DevstackError, StepFailed) as error:
        print(f"\nfailed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; engines and Airflow may still run, stop them with `make down`", file=sys.stderr)
        return 130
    print(f"\n{time.monotonic() - began_s:.0f} s. The stack keeps running; `make down` stops it, the data stays.")
    return 0


def up(stack: Stack) -> Server:
    """Starts the engines and Airflow's database, migrates the ledger, then starts Airflow, whose tasks need these."""
    _say("Engines")
    stack.up(["engines", "airflow-db"], _tell)
    environment = {**os.environ, **stack.environment()}
    user = environment["SLUICE_ADMIN_USER"]
    _sluice(environment, "migrate the ledger to this release's schema", "migrate")
    _sluice(environment, "fetch the embedder's model, where it is not installed", "models", "fetch")
    _sluice(environment, "grant the admin the default tenant", "grant", user, "--write", "--group", "*")
    _say("Airflow")
    stack.up(["airflow"], _tell)
    server = Server(environment["SLUICE_AIRFLOW_URL"], user, environment["SLUICE_ADMIN_PASSWORD"])
    server.wait_for_dag("sluice_ingest", timeout_s=120.0)
    print(f"\n  Airflow   {server.url}   user {user}, password {environment['SLUICE_ADMIN_PASSWORD']}")
    print(f"  Search    {server.url}/plugin/sluice-search")
    lineage = environment.get("SLUICE_MARQUEZ_WEB_URL") or environment.get("SLUICE_MARQUEZ_URL")
    print(f"  Lineage   {lineage or 'of each passage: GET /sluice/api/v1/passages/<chunk_id>/lineage'}")
    return server


def demonstrate(server: Server, source: str | None, collection: str) -> None:
    ours = source is None
    if source is None:
        folder = Config.from_env(ROOT, os.environ).home / "demo" / "corpus"
        _say("Input")
        _tell(f"{corpus.make(folder, ROOT / 'docs')} documents in {folder}")
        source = folder.as_uri()
    allow(server, source)
    _say("Ingest")
    run_id = server.trigger("sluice_ingest", {"source": source, "collection": collection})
    server.wait("sluice_ingest", run_id, RUN_TIMEOUT_S, _tell)
    summary = server.result("sluice_ingest", run_id, "finish")
    documents, chunks, embeddings = (summary[name] for name in ("documents", "chunks", "embeddings"))
    names = ("seen", "new", "changed", "unchanged", "moved", "deleted", "quarantined")
    if not any(documents[name] for name in ("new", "changed", "moved", "deleted")):
        _tell("nothing changed since the last run")
    _tell("documents: " + ", ".join(f"{documents[name]} {name}" for name in names))
    _tell(f"chunks: {chunks['written']} written, {chunks['removed']} removed, {chunks['total']} in all stores")
    _tell(f"embeddings: {embeddings['computed']} computed, {embeddings['cached']} from the cache")
    _tell("seconds: " + ", ".join(f"{stage} {took:.1f}" for stage, took in summary["stages"].items()))
    for code, count in summary["quarantine"].items():
        _tell(f"quarantined, {code}: {count} (to list them: {_CLI} quarantine list --collection {collection})")
    questions = QUESTIONS if ours else server.titles(collection, len(QUESTIONS))
    for question in questions:
        show(question, server.search(question, collection, top_k=3))
    _say("Next steps")
    _tell(f"{server.url}/plugin/sluice-search  (collection {collection})")
    if questions:
        _tell(f"{_CLI} search {shlex.quote(questions[0])} --collection {collection}")
    _tell(f"{_CLI} status")


def check(source: str) -> None:
    """Checks, before anything starts, that the source is a valid URI and exists. Raises StepFailed."""
    uri = urlsplit(source)
    if uri.scheme not in ("file", "jsonl") or uri.netloc not in ("", "localhost"):
        raise StepFailed(f"{source} is not a source. Use file:///folder or jsonl:///file, with three slashes.")
    path = Path(unquote(uri.path))
    if not path.exists():
        raise StepFailed(f"{path} does not exist. Use an existing folder: make demo SOURCE=file:///your/folder")


def allow(server: Server, source: str) -> None:
    """Adds the source's folder to the roots that `file://` sources may read. Raises StepFailed."""
    uri = urlsplit(source)
    path = Path(unquote(uri.path)).absolute()
    if ":" in str(path):
        raise StepFailed(f"{path} has a ':' in its name, which separates folders in SLUICE_FILE_ROOTS. Rename it.")
    roots = [each for each in server.variable("sluice_file_roots").split(":") if each]
    if str(path) not in roots:
        server.set_variable("sluice_file_roots", ":".join([*roots, str(path)]))
        _tell(f"sources may now read {path} (Airflow variable sluice_file_roots)")


def show(question: str, answer: dict) -> None:
    _say(f"“{question}”")
    if not answer["results"]:
        raise StepFailed(f"The search for “{question}” found nothing.")
    for rank, passage in enumerate(answer["results"], 1):
        place = passage["location"]
        where = " › ".join(place["headings"]) or f"characters {place['start']}-{place['end']}"
        page = f", page {place['page']}" if place["page"] else ""
        print(f"  {rank}. {passage['title']}  [{passage['score']:.3f}]")
        print(f"     {passage['external_id']} ({where}{page}, version {passage['version']})")
        print(textwrap.indent(textwrap.shorten(passage["text"], 180), "     "))


def _sluice(environment: dict[str, str], step: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sluice.cli", *arguments], env=environment, capture_output=True, text=True, timeout=180
    )
    if done.returncode:
        raise StepFailed(f"Could not {step}:\n{done.stdout}{done.stderr}")
    _tell(done.stdout.strip())


def _say(title: str) -> None:
    print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}", flush=True)


def _tell(line: str) -> None:
    print(f"  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
