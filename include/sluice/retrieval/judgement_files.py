"""Files of judged questions: CSV, JSON lines, or queries.jsonl with qrels.tsv. Errors name the line."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sluice.errors import BadRequest
from sluice.model.golden import MAX_GAIN, JudgedQuery, Judgement, folded
from sluice.model.names import MAX_ID_CHARS
from sluice.model.text import is_storable
from sluice.retrieval.searching import MAX_QUERY_CHARS

COLUMNS = ("query_id", "query", "external_id", "document_id", "gain")
FORMATS = ("csv", "jsonl")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_REQUIRED = (
    'Each row needs "query", and "external_id" or "document_id"; "gain" (1 if left out) and "query_id" may follow.'
)


def format_of(path: Path) -> str:
    """Returns the format by the ending of a file's name. Raises BadRequest."""
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise BadRequest(f"{path.name} ends in neither .csv nor .jsonl. Rename it, or choose with --format.")
    return ending


def read_judgements(path: Path, kind: str) -> list[JudgedQuery]:
    """Reads one judgement a row; rows with the same question belong together. `kind`: csv or jsonl. Raises
    BadRequest, which names the line; then nothing of the file is used."""
    rows = _csv_rows(path) if kind == "csv" else _json_rows(path)
    return _joined((_checked(where, row) for where, row in rows), path.name)


def read_beir(queries: Path, qrels: Path) -> list[JudgedQuery]:
    """Reads the two files that `sluice eval` takes; questions without a judgement are left out. Raises BadRequest."""
    relevant, texts = read_qrels(qrels), read_queries(queries)
    judged = [
        JudgedQuery(qid, text, tuple(Judgement(name, gain) for name, gain in relevant[qid].items()), "import")
        for qid, text in texts.items()
        if qid in relevant
    ]
    if not judged:
        raise BadRequest(
            f"No question of {queries.name} has a judgement. Check that the ids in it and in the first column of "
            f"{qrels.name} are the same."
        )
    return judged


def read_queries(path: Path) -> dict[str, str]:
    """Reads JSON lines with `_id` and `text`; returns text by id. Raises BadRequest, which names the line."""
    queries: dict[str, str] = {}
    for where, line in _lines(path):
        try:
            row = json.loads(line)
            qid, text = str(row["_id"]), row["text"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            wanted = 'Each line is one JSON object: {"_id": …, "text": …}.'
            raise BadRequest(f"{where} is not a query. {wanted}") from error
        if not isinstance(text, str) or not text.strip():
            raise BadRequest(f"{where}: the text of query {qid!r} is empty or not a string. Give it one, or drop it.")
        if qid in queries:
            raise BadRequest(f"{where}: query {qid!r} is there twice. Ids must be unique.")
        queries[qid] = text
    if not queries:
        raise BadRequest(f"{path.name} holds no query.")
    return queries


def read_qrels(path: Path) -> dict[str, dict[str, float]]:
    """Reads tab-separated query-id, corpus-id and score, with or without a header; returns query → document → gain.
    Raises BadRequest, which names the line."""
    qrels: dict[str, dict[str, float]] = {}
    for number, (where, line) in enumerate(_lines(path)):
        cells = line.split("\t")
        gain = _number(cells[2]) if len(cells) == 3 else None
        if gain is None:
            if number == 0 and len(cells) == 3:
                continue
            wanted = "Each line is query-id, corpus-id and a number, tabs between."
            raise BadRequest(f"{where} is not a judgement. {wanted}")
        qrels.setdefault(cells[0], {})[cells[1]] = gain
    if not qrels:
        raise BadRequest(f"{path.name} holds no judgement.")
    return qrels


def check_storable(queries: Sequence[JudgedQuery]) -> None:
    """Raises BadRequest for what a golden set cannot hold, naming the question by its id."""
    for each in queries:
        where = f"Question {each.query_id!r}"
        _check_text(where, each.text)
        for judgement in each.judgements:
            _check_name(where, judgement.external_id)
            _check_gain(where, judgement.gain)


def written(queries: Iterable[JudgedQuery], kind: str) -> str:
    """Returns questions in the form that `read_judgements` reads, one judgement a row."""
    rows = [_row(query, judgement) for query in queries for judgement in query.judgements]
    if kind == "jsonl":
        return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    output = io.StringIO()
    writer = csv.DictWriter(output, COLUMNS, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return output.getvalue()


# --- details ------------------------------------------------------------------------------------------------


def _row(query: JudgedQuery, judgement: Judgement) -> dict[str, Any]:
    document = "" if judgement.document_id is None else str(judgement.document_id)
    names = (query.query_id, query.text, judgement.external_id, document, judgement.gain)
    return dict(zip(COLUMNS, names, strict=True))


def _csv_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(_file_text(path, ""), newline=""), strict=True)
    try:
        header = reader.fieldnames or ()
        if unknown := [name for name in header if name not in COLUMNS]:
            raise BadRequest(
                f"{path.name}, line 1: unknown column {unknown[0]!r}. The columns are {', '.join(COLUMNS)}, separated "
                "by commas. Nothing was stored."
            )
        if twice := [name for name, number in Counter(header).items() if number > 1]:
            raise BadRequest(f"{path.name}, line 1: column {twice[0]!r} is there twice. Nothing was stored.")
        if "query" not in header:
            raise BadRequest(f"{path.name}, line 1: there is no column query. {_REQUIRED} Nothing was stored.")
        for row in reader:
            lines_before_last = sum((value or "").count("\n") for name, value in row.items() if name is not None)
            where = f"{path.name}, line {reader.line_num - lines_before_last}"
            if None in row or None in row.values():
                raise BadRequest(f"{where} has another number of cells than the header. Nothing was stored.")
            yield where, row
    except csv.Error as error:
        where = f"{path.name}, line {reader.line_num + 1}"
        raise BadRequest(f"{where} is not valid CSV ({error}). Nothing was stored.") from error


def _json_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for where, line in _lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"{where} is not valid JSON. Nothing was stored.") from error
        if not isinstance(row, dict):
            raise BadRequest(f"{where} is not a JSON object. {_REQUIRED} Nothing was stored.")
        if unknown := [name for name in row if name not in COLUMNS]:
            raise BadRequest(
                f"{where}: unknown key {unknown[0]!r}. The keys are {', '.join(COLUMNS)}. Nothing was stored."
            )
        yield where, row


def _checked(where: str, row: Mapping[str, Any]) -> JudgedQuery:
    text, name = row.get("query"), row.get("external_id") or ""
    if not isinstance(text, str) or not text.strip():
        raise BadRequest(f"{where}: query is empty or not a string. {_REQUIRED} Nothing was stored.")
    _check_text(where, text)
    document = _document(where, row.get("document_id"))
    if not isinstance(name, str) or not (name or document):
        raise BadRequest(f"{where} names no document. {_REQUIRED} Nothing was stored.")
    if name:
        _check_name(where, name)
    return JudgedQuery(
        _query_id(where, row.get("query_id")),
        text.strip(),
        (Judgement(name, _gain(where, row.get("gain")), document),),
        "import",
    )


def _document(where: str, value: Any) -> UUID | None:
    if value in (None, ""):
        return None
    try:
        return UUID(value)
    except (TypeError, ValueError, AttributeError):
        raise BadRequest(f"{where}: document_id {str(value)[:80]!r} is not an id. Nothing was stored.") from None


def _query_id(where: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadRequest(f"{where}: query_id is neither a string nor a whole number. Nothing was stored.")
    query_id = value if isinstance(value, str) else str(value)[: MAX_ID_CHARS + 1]
    if len(query_id) > MAX_ID_CHARS or not is_storable(query_id):
        raise BadRequest(
            f"{where}: query_id {query_id[:80]!r} has more than {MAX_ID_CHARS} characters, or a NUL or a lone "
            "surrogate. Nothing was stored."
        )
    return query_id


def _gain(where: str, value: Any) -> float:
    if value in (None, ""):
        return 1.0
    gain = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        gain = float(max(-1, min(value, MAX_GAIN + 1))) if value == value else math.nan
    elif isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        gain = float(value)
    _check_gain(where, gain, value)
    return gain


def _check_gain(where: str, gain: float, given: Any = None) -> None:
    if not 0 <= gain <= MAX_GAIN:
        shown = str(gain if given is None else given)[:80]
        raise BadRequest(f"{where}: gain {shown!r} is not a number from 0 to {MAX_GAIN:g}. Nothing was stored.")


def _check_text(where: str, text: str) -> None:
    if len(text.strip()) > MAX_QUERY_CHARS:
        raise BadRequest(
            f"{where}: the question has {len(text.strip())} characters; a search takes at most {MAX_QUERY_CHARS}. "
            "Shorten it. Nothing was stored."
        )
    if not is_storable(text):
        raise BadRequest(f"{where}: the question contains a NUL or a lone surrogate. Remove it. Nothing was stored.")


def _check_name(where: str, name: str) -> None:
    if not is_storable(name) or len(name) > MAX_ID_CHARS:
        raise BadRequest(
            f"{where}: {name[:80]!r} cannot be a document's external id: at most {MAX_ID_CHARS} characters, none of "
            "them NUL. Nothing was stored."
        )


def _joined(rows: Iterable[JudgedQuery], file: str) -> list[JudgedQuery]:
    """Joins the rows of one question. Its last judgement of a document is used; its first id."""
    found: dict[str, JudgedQuery] = {}
    judged: dict[str, dict[tuple[str, UUID | None], Judgement]] = {}
    for row in rows:
        words = folded(row.text)
        found.setdefault(words, row)
        (judgement,) = row.judgements
        judged.setdefault(words, {})[judgement.external_id, judgement.document_id] = judgement
    if not found:
        raise BadRequest(f"{file} holds no judgement.")
    return [
        JudgedQuery(first.query_id or f"{number}", first.text, tuple(judged[words].values()), first.origin)
        for number, (words, first) in enumerate(found.items(), 1)
    ]


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yields (`file, line n`, content) of each line that is not blank. Raises BadRequest."""
    for number, line in enumerate(_file_text(path).split("\n"), start=1):
        if line.strip():
            yield f"{path.name}, line {number}", line.rstrip("\r")


def _file_text(path: Path, newline: str | None = None) -> str:
    """Returns the text of a file in UTF-8; `newline` as for `open`. Raises BadRequest."""
    try:
        with path.open(encoding="utf-8-sig", newline=newline) as file:
            return file.read()
    except OSError as error:
        raise BadRequest(f"{path} cannot be read ({error.strerror}). Nothing was done. Choose another file.") from error
    except UnicodeDecodeError as error:
        raise BadRequest(f"{path} is not UTF-8 text ({error}). Save it as UTF-8. Nothing was done.") from error
