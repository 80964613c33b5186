"""What a command imports before it works: none of these takes long by itself, all of them together did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

INCLUDE = Path(__file__).resolve().parents[2] / "include"
STORES = {"sqlalchemy", "psycopg", "qdrant_client", "grpc", "neo4j", "redis"}
LONG = {
    *("airflow", "croniter", "fsspec", "great_expectations", "numpy", "pandas", "presidio_analyzer", "pyarrow"),
    *("sluice.parsing.extractor", "spacy", "tokenizers", "upath"),
}
SETTINGS = {
    "SLUICE_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none",
    "SLUICE_KEYS_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none",
    "SLUICE_MASTER_KEY": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "SLUICE_GRAPH": "on",
}
TOLD = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def imported(code: str, tmp_path: Path) -> set[str]:
    """Modules that a new process has after `code`."""
    stored = {name: value for name, value in os.environ.items() if not name.startswith(("SLUICE_", "COVERAGE"))}
    output = subprocess.run(
        [sys.executable, "-c", f"{code}\n{TOLD}"],
        env={**stored, **SETTINGS, "PYTHONPATH": str(INCLUDE)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return set(json.loads(output.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["status", "--help"], ["ingest", "--help"]])
def test_help_needs_no_settings_and_no_client(arguments: list[str], tmp_path: Path) -> None:
    result = imported(
        f"import sys; sys.argv = ['sluice', *{arguments}]\n"
        "from sluice.cli import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code",
        tmp_path,
    )
    assert (
        result
        & {*STORES, *LONG, "httpx", "cryptography", "sluice.settings", "sluice.wiring.application", "sluice.model"}
        == set()
    )
    assert "typer" in result


def test_a_command_that_counts_needs_no_more_than_the_stores(tmp_path: Path) -> None:
    """As `sluice status` does: every client is built, engines are asked, nothing is read or embedded."""
    result = imported(
        "from sluice.cli import operating\n"
        "from sluice.cli.terminal import opened\n"
        "with opened() as sluice:\n"
        "    assert set(sluice.pings) == {'ledger', 'keys', 'qdrant', 'neo4j'}",
        tmp_path,
    )
    assert (
        result
        & {
            *LONG,
            "qdrant_client",
            "grpc",
            "rich",
            "sluice.pipeline.ingestion",
            "sluice.retrieval.searching",
            "sqlalchemy.orm.mapper",
        }
        == set()
    )
    assert {"sqlalchemy", "psycopg", "neo4j", "httpx"} <= result


def test_what_answers_searches_has_its_clients_before_the_first_one(tmp_path: Path) -> None:
    result = imported(
        "from sluice.settings import Settings\nfrom sluice.wiring.application import Sluice\n"
        "Sluice(Settings(), serving=True).close()",
        tmp_path,
    )
    assert {"qdrant_client", "neo4j", "sqlalchemy"} <= result


def test_only_the_thread_that_leaves_a_module_out_lacks_it(tmp_path: Path) -> None:
    result = imported(
        """
import sys
from concurrent.futures import ThreadPoolExecutor
from sluice.adapters.importing import without
before = [*sys.meta_path]
with without("colorsys", "json"):
    try:
        import colorsys
    except ImportError:
        pass
    else:
        raise AssertionError("it was imported")
    import json  # was there already
    with ThreadPoolExecutor(1) as pool:
        pool.submit(__import__, "colorsys").result()
    import colorsys
assert sys.meta_path == before
with without("wave"):
    pass
import wave
""".replace("from sluice", "import json\nfrom sluice"),
        tmp_path,
    )
    assert {"colorsys", "wave"} <= result


def test_pandas_can_be_imported_after_the_driver(tmp_path: Path) -> None:
    result = imported(
        "import sluice.adapters.neo4j.graph, pandas\nassert pandas.DataFrame({'a': [1]}).a.sum() == 1", tmp_path
    )
    assert {"neo4j", "pandas", "numpy"} <= result


def test_phrases_are_found_without_spacy(tmp_path: Path) -> None:
    """The modules of an ingest, its default extractor and its gate: spaCy is for `spacy:…`, for names in gates, and for
    Presidio, which imports it with itself where a text may hold personal data."""
    result = imported(
        """
from sluice import quality
from sluice.pipeline import checkpoints, ingestion
from sluice.adapters.entities.factory import make_entities
from sluice.chunking.about import about
from sluice.chunking.chunker import chunk, with_mentions
from sluice.quality.personal_data import personal_data
text = "Ada Lovelace wrote to Charles Babbage."
(recognized,) = make_entities("phrases").extract([text])
assert [name for _, name, _ in recognized.entities] == ["Ada Lovelace", "Charles Babbage"]
assert personal_data([text], ["EMAIL", "PHONE", "CREDIT_CARD", "IBAN", "US_SSN", "IP_ADDRESS"]) == [()]
""",
        tmp_path,
    )
    assert result & {"spacy", "thinc", "presidio_analyzer"} == set()
