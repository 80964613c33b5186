"""Compares the extracted text of Sluice and of markitdown with the reference Markdown of the set.

The same code reads both texts and the reference. It removes comments, link targets and Markdown's punctuation, then
applies NFKC and lower case, and splits the rest into runs of letters and digits.

- **token F1**: F1 of the two multisets of tokens of a document. Order does not count.
- **cells**: recall and precision of the non-empty cells of Markdown tables (multisets), over the documents whose
  reference has a table.
- A document without extracted text counts as 0 in both, and as failed.

The reference is not exact. It is the output of another converter (docling, reviewed by its authors): it leaves out
some running headers and describes pictures in its own words. The set was used to improve extraction, so other documents
may have lower scores. Formats that markitdown does not read count as 0 for it in the total. The mean over the documents
for which both have text is reported separately.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench import peer
from sluice.model.document import FetchedDocument
from sluice.model.scan import ListingEntry, WorkItem
from sluice.parsing.extractor import IsolatedExtractor

MARKITDOWN = ("markitdown[all]==0.1.3",)
PER_FILE_S = 60
LIMITS = {"timeout_s": float(PER_FILE_S), "memory_mb": 2048, "max_text_chars": 5_000_000, "max_bytes": 100_000_000}
_CONVERT = """
import json, signal, sys, time
from markitdown import MarkItDown
def late(*_):
    raise TimeoutError
signal.signal(signal.SIGALRM, late)
converter = MarkItDown()
for path in json.load(sys.stdin):
    signal.alarm({seconds})
    started = time.monotonic()
    try:
        text = converter.convert(path).markdown
    except BaseException as error:
        text = ""
    signal.alarm(0)
    print(json.dumps({{"path": path, "text": text, "s": time.monotonic() - started}}), flush=True)
"""
_NOT_WORDS = re.compile(r"<!--.*?-->|!?\[(?P<shown>[^\]\n]*)\]\([^)\n]*\)|</?[a-zA-Z][^<>\n]*>", re.S)
_WORD = re.compile(r"[^\W_]+")
_RULE = re.compile(r"\|?[\s:|-]*-[\s:|-]*\|?")


def measure(data: Path, work: Path) -> dict[str, Any]:
    pairs = pairs_in(data / "formats" / "docling")
    paths = [source for source, _ in pairs]
    texts = {"sluice": _ours(paths), "markitdown": _theirs(paths, work / "markitdown")}
    references = [reference.read_text("utf-8") for _, reference in pairs]
    figures: dict[str, Any] = {"documents": len(pairs), "peer": MARKITDOWN[0]}
    for name, outcome in texts.items():
        figures[name] = _judged(paths, references, outcome)
    read = [n for n, text in enumerate(texts["markitdown"]) if text.strip() and texts["sluice"][n].strip()]
    for name, outcome in texts.items():
        scores = [token_f1(outcome[n], references[n]) for n in read]
        figures[name]["token_f1_where_both_have_text"] = round(statistics.mean(scores), 4)
    figures["all formats, seconds"] = _speed(data / "formats")
    return figures


def pairs_in(folder: Path) -> list[tuple[Path, Path]]:
    """Pairs (source, reference): `x.docx` and `x.docx.md`, or `x.pdf` and `x.md` if only one source has the stem."""
    outcome = []
    for reference in sorted(folder.glob("*/groundtruth/**/*.md")):
        sources = [path for path in (reference.parents[1] / "sources").rglob("*") if path.is_file()]
        named = [path for path in sources if path.name == reference.stem]
        named = named or [path for path in sources if path.stem == reference.stem]
        if len(named) == 1:
            outcome.append((named[0], reference))
    return outcome


def token_f1(text: str, reference: str) -> float:
    return f1(*overlap(_tokens(text), _tokens(reference)))


def cells(text: str) -> Counter[str]:
    """Returns the non-empty cells of Markdown's pipe tables. A table is recognised by the rule below its first row."""
    outcome: Counter[str] = Counter()
    lines = text.splitlines()
    rows: set[int] = set()
    for number, line in enumerate(lines):
        if "|" in line and number and "|" in lines[number - 1] and _RULE.fullmatch(line.strip()):
            rows.add(number - 1)
            rows.update(_rows_below(lines, number + 1))
    for number in sorted(rows):
        row = lines[number].strip().removeprefix("|").removesuffix("|").replace("\\|", " ")
        outcome.update(words for cell in row.split("|") if (words := " ".join(_words(cell))))
    return outcome


def overlap(outcome: Counter[str], expected: Counter[str]) -> tuple[int, int, int]:
    """Returns the counts (common, found, expected), with repetitions."""
    return (outcome & expected).total(), outcome.total(), expected.total()


def f1(common: int, outcome: int, expected: int) -> float:
    return 1.0 if outcome == expected == 0 else 2 * common / (outcome + expected)


def _rows_below(lines: list[str], first: int) -> Iterable[int]:
    for number in range(first, len(lines)):
        if "|" not in lines[number]:
            return
        yield number


def _tokens(text: str) -> Counter[str]:
    return Counter(_words(text))


def _words(text: str) -> list[str]:
    shown = _NOT_WORDS.sub(lambda match: f" {match['shown'] or ''} ", text)
    return _WORD.findall(unicodedata.normalize("NFKC", shown).lower())


def _ours(paths: list[Path]) -> list[str]:
    with IsolatedExtractor(workers=2, **LIMITS) as extractor:  # type: ignore[arg-type]
        return [result.text for result in extractor.extract([_raw(path) for path in paths])]


def _raw(path: Path) -> FetchedDocument:
    content = path.read_bytes()
    return FetchedDocument(
        WorkItem(uuid4(), ListingEntry(path.name, path.as_uri(), "", len(content)), new=True), content
    )


def _theirs(paths: list[Path], folder: Path) -> list[str]:
    python = peer.install(folder, MARKITDOWN)
    done = subprocess.run(
        [str(python), "-c", _CONVERT.format(seconds=PER_FILE_S)],
        input=json.dumps([str(path) for path in paths]),
        capture_output=True,
        text=True,
        timeout=900,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
    )
    texts = {each["path"]: each["text"] for each in map(json.loads, done.stdout.splitlines())}
    # If the whole converter crashed, the remaining documents have no text.
    return [texts.get(str(path), "") for path in paths]


def _judged(paths: list[Path], references: list[str], texts: list[str]) -> dict[str, Any]:
    by_format: dict[str, list[float]] = defaultdict(list)
    tables = [0, 0, 0]
    tables_by_format: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for path, reference, text in zip(paths, references, texts, strict=True):
        kind = path.parents[1].name
        by_format[kind].append(token_f1(text, reference))
        if expected := cells(reference):
            for counts in (tables, tables_by_format[kind]):
                counts[:] = [a + b for a, b in zip(counts, overlap(cells(text), expected), strict=True)]
    return {
        "token_f1": round(statistics.mean(value for values in by_format.values() for value in values), 4),
        "cells": _rates(tables),
        "failed": sum(1 for text in texts if not text.strip()),
        "by_format": {
            kind: {
                "documents": len(values),
                "token_f1": round(statistics.mean(values), 4),
                **({"cells": _rates(tables_by_format[kind])} if kind in tables_by_format else {}),
            }
            for kind, values in sorted(by_format.items())
        },
    }


def _rates(counts: list[int]) -> dict[str, float]:
    common, outcome, expected = counts
    return {
        "recall": round(common / expected, 4) if expected else 0.0,
        "precision": round(common / outcome, 4) if outcome else 0.0,
    }


def _speed(folder: Path) -> dict[str, float]:
    """Returns the seconds for all documents of the set, by number of workers. The workers are already running."""
    raws = [_raw(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    taken = {}
    for workers in (1, 2):
        with IsolatedExtractor(workers=workers, **LIMITS) as extractor:  # type: ignore[arg-type]
            extractor.extract(raws)
            started = time.monotonic()
            extractor.extract(raws)
            taken[f"{workers} workers" if workers > 1 else "1 worker"] = round(time.monotonic() - started, 2)
    return taken
