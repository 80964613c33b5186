"""Files of judged questions: what is read, and how errors name the line."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import BadRequest
from sluice.model.golden import JudgedQuery, Judgement, judged_hash, version_of
from sluice.model.text import is_storable
from sluice.retrieval.judgement_files import FORMATS, check_storable, format_of, read_beir, read_judgements, written

DOCUMENT = UUID("0190c9a0-0000-7000-8000-000000000001")


def file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_of_one_question_belong_together(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "golden.csv",
        "query,external_id,document_id,gain\n"
        f'"which pump, and when?",pumps.md,,2\nwho wrote it,,{DOCUMENT},\n"which pump, and when?",other.md,,0\n',
    )
    first, second = read_judgements(path, format_of(path))
    assert (first.text, first.origin) == ("which pump, and when?", "import")
    assert first.judgements == (Judgement("pumps.md", 2.0), Judgement("other.md", 0.0))
    assert second.judgements == (Judgement("", 1.0, DOCUMENT),), "gain is 1 if it is left out"
    assert [first.query_id, second.query_id] == ["1", "2"]


def test_the_last_judgement_of_a_document_is_used(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "golden.jsonl",
        '{"query": "a", "external_id": "x", "gain": 3}\n\n{"query": " a ", "external_id": "x"}',
    )
    (query,) = read_judgements(path, "jsonl")
    assert query.judgements == (Judgement("x", 1.0),)
    spaced = '{"query": "two  words", "external_id": "x"}\n{"query": "two words", "external_id": "x", "gain": 0}'
    (query,) = read_judgements(file(tmp_path, "spaced.jsonl", spaced), "jsonl")
    assert (query.text, query.judgements) == ("two  words", (Judgement("x", 0.0),)), "as search folds them"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g.csv", "query,external_id\na,x\n,y\n", "g.csv, line 3: query is empty"),
        ("g.csv", "query,external_id\na,x,more\n", "g.csv, line 2 has another number of cells"),
        ("g.csv", "query,external_id\na\n", "g.csv, line 2 has another number of cells"),
        ("g.csv", "query,external_id,gain\na,x,often\n", "line 2: gain 'often' is not a number from 0 to 1000"),
        ("g.csv", "query,external_id,gain\na,x,-1\n", "line 2: gain '-1'"),
        ("g.csv", "query,external_id,gain\na,x,nan\n", "line 2: gain 'nan'"),
        ("g.csv", "question,external_id\na,x\n", "line 1: unknown column 'question'"),
        ("g.csv", "external_id,gain\nx,1\n", "line 1: there is no column query"),
        ("g.csv", "query,external_id\na,\n", "line 2 names no document"),
        ("g.csv", 'query,external_id\n"a,x\n', "line 2 is not valid CSV"),
        ("g.csv", f"query,external_id\n{'a' * 2001},x\n", "line 2: the question has 2001 characters"),
        ("g.csv", "query,external_id\n", "g.csv holds no judgement"),
        ("g.jsonl", '{"query": "a", "external_id": "x"}\n{"query": "b"}\n', "g.jsonl, line 2 names no document"),
        ("g.jsonl", '\n{"query": "a"', "line 2 is not valid JSON"),
        ("g.jsonl", "[1]", "line 1 is not a JSON object"),
        ("g.jsonl", '{"query": 3, "external_id": "x"}', "line 1: query is empty or not a string"),
        ("g.jsonl", '{"query": "a", "external_id": 3}', "line 1 names no document"),
        ("g.jsonl", '{"query": "a", "external_id": "x", "gain": true}', "line 1: gain 'True'"),
        ("g.jsonl", '{"query": "a", "document_id": "x"}', "line 1: document_id 'x' is not an id"),
        ("g.jsonl", '{"query": "a", "document": "x"}', "line 1: unknown key 'document'"),
        ("g.jsonl", '{"query": "a\\u0000", "external_id": "x"}', "line 1: the question contains a NUL"),
        ("g.csv", "query,query,external_id\na,b,x\n", "line 1: column 'query' is there twice"),
        ("g.csv", "query,external_id,gain\na,x,1_0\n", "line 2: gain '1_0'"),
        ("g.csv", "query,external_id,gain\na,x,\u0661\n", "line 2: gain '\u0661'"),
        ("g.jsonl", f'{{"query": "a", "external_id": "x", "gain": 1{"0" * 400}}}', "line 1: gain '1000"),
        ("g.jsonl", f'{{"query": "a", "external_id": "x", "gain": -1{"0" * 400}}}', "line 1: gain '-1000"),
        ("g.jsonl", '{"query": "a", "external_id": "x", "gain": NaN}', "line 1: gain 'nan'"),
        ("g.jsonl", '{"query": "a", "external_id": "x", "query_id": "\\ud800"}', "line 1: query_id "),
        ("g.jsonl", f'{{"query": "a", "external_id": "x", "query_id": "{"q" * 5000}"}}', "line 1: query_id "),
        ("g.jsonl", '{"query": "a", "external_id": "x", "query_id": []}', "line 1: query_id is neither"),
        ("g.txt", "", "ends in neither .csv nor .jsonl"),
    ],
)
def test_an_error_names_the_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = file(tmp_path, name, text)
    with pytest.raises(BadRequest) as raised:
        read_judgements(path, format_of(path))
    assert message in str(raised.value)


def test_the_two_files_of_eval(tmp_path: Path) -> None:
    queries = file(tmp_path, "queries.jsonl", '{"_id": "1", "text": "a"}\n{"_id": "2", "text": "b"}\n')
    qrels = file(tmp_path, "qrels.tsv", "query-id\tcorpus-id\tscore\n1\tx\t2\n1\ty\t0\n3\tz\t1\n")
    (query,) = read_beir(queries, qrels)
    assert (query.query_id, query.text) == ("1", "a")
    assert query.judgements == (Judgement("x", 2.0), Judgement("y", 0.0))
    with pytest.raises(BadRequest, match="No question"):
        read_beir(queries, file(tmp_path, "other.tsv", "9\tx\t1\n"))
    with pytest.raises(BadRequest, match=r"gain '-1\.0'"):
        check_storable(read_beir(queries, file(tmp_path, "negative.tsv", "1\tx\t-1\n")))


_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)
_JUDGEMENTS = st.lists(
    st.builds(Judgement, _TEXTS, st.floats(0, 1000, allow_nan=False), st.none() | st.uuids()),
    min_size=1,
    max_size=3,
    unique_by=lambda each: (each.external_id, each.document_id),
)


@given(
    st.lists(
        st.builds(
            JudgedQuery,
            _TEXTS.filter(str.strip),
            _TEXTS.filter(str.strip).map(str.strip),
            _JUDGEMENTS.map(tuple),
            st.just("import"),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda each: each.text,
    ),
    st.sampled_from(FORMATS),
)
def test_what_is_exported_is_imported_again(
    tmp_path_factory: pytest.TempPathFactory, queries: list[JudgedQuery], kind: str
) -> None:
    path = tmp_path_factory.mktemp("golden") / f"g.{kind}"
    path.write_text(written(queries, kind), encoding="utf-8", newline="")
    assert all(is_storable(each.text) for each in queries)
    assert read_judgements(path, kind) == queries


def test_the_version_changes_with_questions_and_judgements_only() -> None:
    a, b = Judgement("x", 1.0), Judgement("y", 2.0)
    assert judged_hash("q", [a, b]) == judged_hash("q", [b, a])
    assert len({judged_hash("q", each) for each in ([a], [b], [a, b], [Judgement("x", 2.0)])}) == 4
    assert judged_hash("q", [a]) != judged_hash("r", [a])
    assert judged_hash("q", [a]) == judged_hash("q", [Judgement("x", 1.0, DOCUMENT)]), "the same once it is ingested"
    questions = [(UUID(int=number), [a]) for number in range(3)]
    assert version_of(questions) == version_of(questions[::-1]) != version_of(questions[:2])
    assert version_of([*questions, (UUID(int=9), [Judgement("x", 0.0)])]) != version_of(questions)
