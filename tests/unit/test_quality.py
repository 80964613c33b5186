from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.errors import BadRequest, Terminal
from sluice.model.document import Document
from sluice.model.gates import GateRule
from sluice.model.scan import ListingEntry, WorkItem
from sluice.quality import gates
from sluice.quality.checks import SUITES, Check, suite_of
from sluice.quality.document_features import features
from sluice.quality.expectations import evaluate
from sluice.quality.gates import Verdict

KEY, COLLECTION = bytes(32), UUID(int=7)
PROSE = "The quick brown fox jumps over the lazy dog, and nobody minds. "


def document(name: str, text: str = PROSE, title: str = "A title", mime: str = "text/plain") -> Document:
    return Document(
        WorkItem(uuid5(UUID(int=3), name), ListingEntry(name, f"file:///{name}", "f", len(text)), new=True),
        mime,
        title,
        text,
        b"",
    )


def documents_gate(documents: Sequence[Document], **rules: GateRule) -> Verdict[Document]:
    by_check = {("documents", code): rule for code, rule in rules.items()}
    return gates.documents_gate(documents, by_check, index_key=KEY, collection_id=COLLECTION)


BAD = {
    "empty_text": document("empty", " \r\n\t\u3000"),
    "too_long": document("long", PROSE * 40),
    "no_type": document("typeless", mime=" "),
    "binary_text": document("binary", "\x00\x01\x02PK" * 40),
    "wrong_encoding": document("latin", "Stra\ufffde nach M\ufffdnchen"),
    "unbroken_text": document("base64", PROSE + "QUJDREVG" * 200),
    "repeated_text": document("filling", "-" * 990 + PROSE),
}
GOOD = [
    document("prose"),
    document("short", "x"),
    document("chinese", "漢字仮名交じり文。" * 200),
    document("table", "| a | b |\n|---|---|\n| 1 | 2 |\n" * 20),
    document("link", PROSE * 3 + "https://example.org/" + "a/b" * 60),
    document("emoji", "👩🏽‍🚀 ok " * 50),
]


def test_each_bad_document_is_quarantined_for_its_own_reason_and_the_rest_goes_on() -> None:
    documents = [GOOD[0], *BAD.values(), *GOOD[1:]]
    verdict = documents_gate(documents, too_long=GateRule(limit=2000))
    assert [(failure.code, failure.item) for failure in verdict.failures] == [(c, d.item) for c, d in BAD.items()]
    assert verdict.passed == GOOD
    for failure in verdict.failures:
        assert failure.stage == "validate"
        assert "{" not in failure.reason
        assert "fox" not in failure.reason
    assert "2,000 characters" in next(f.reason for f in verdict.failures if f.code == "too_long")


def test_one_stray_byte_does_not_keep_a_short_text_out() -> None:
    verdict = documents_gate([document("stray", "a short word\ufffd")])
    assert [row.code for row in verdict.rows] == ["some_replacements"]
    assert len(verdict.passed) == 1


def test_results_tell_each_check_once_and_hold_no_text() -> None:
    verdict = documents_gate([document("a", title=""), BAD["wrong_encoding"], document("b", "1 - + * / = % &")])
    assert [result.observed["code"] for result in verdict.results] == [
        check.code for check in SUITES["documents"] if check.action != "off"
    ]
    by_code = {result.observed["code"]: result for result in verdict.results}
    encoding = by_code["wrong_encoding"]
    assert (encoding.success, encoding.blocking, encoding.evaluated, encoding.unexpected) == (False, True, 3, 1)
    assert encoding.observed["worst"] == pytest.approx(2 / 17)
    assert encoding.observed["limit"] == 0.05
    warned = [code for code, result in by_code.items() if not result.success and not result.blocking]
    assert warned == ["no_title", "some_replacements", "few_letters"]
    assert len(verdict.passed) == 2
    assert {row.code: (row.document_id, row.ordinal, row.observed) for row in verdict.rows} == {
        "wrong_encoding": (BAD["wrong_encoding"].document_id, None, pytest.approx(2 / 17)),
        "no_title": (document("a").document_id, None, None),
        "some_replacements": (BAD["wrong_encoding"].document_id, None, 2),
        "few_letters": (document("b").document_id, None, pytest.approx(1 / 8)),
    }
    assert "Stra" not in repr(verdict.results)


def test_words_that_the_parser_left_out_are_flagged() -> None:
    few, many = (replace(document(name), metadata={"words_recovered": n}) for name, n in (("a", 100), ("b", 101)))
    verdict = documents_gate([few, many])
    assert len(verdict.passed) == 2
    assert [(row.code, row.document_id, row.observed) for row in verdict.rows] == [
        ("recovered_text", many.document_id, 101)
    ]


def test_how_many_documents_are_screened_is_told_on_the_way() -> None:
    output: list[float] = []
    many = [document(f"d{number}", f"{number} {PROSE}") for number in range(450)]
    gates.documents_gate(many, index_key=KEY, collection_id=COLLECTION, on_checked=output.append)
    assert sum(output) == pytest.approx(450)
    assert max(output) <= 200 and len(output) > 6


def test_a_source_does_not_say_what_the_gates_found() -> None:
    forged = replace(document("a"), metadata={"gate_flags": ["personal_data"], "year": 2026})
    assert documents_gate([forged]).passed[0].metadata == {"year": 2026}


def test_the_same_id_twice_in_a_batch_is_refused() -> None:
    verdict = documents_gate([document("a"), document("b"), document("a", "Other words.")])
    assert [failure.code for failure in verdict.failures] == ["duplicate_id", "duplicate_id"]
    assert verdict.passed == [document("b")]


def test_an_empty_batch_needs_no_great_expectations() -> None:
    code = (
        "import sys; from uuid import UUID; from sluice.quality.gates import documents_gate; "
        "v = documents_gate([], index_key=b'', collection_id=UUID(int=1)); "
        "assert (v.passed, v.failures, v.results, v.rows) == ([], [], [], []); "
        "assert not {'great_expectations', 'pandas'} & set(sys.modules)"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr


def test_the_import_is_paid_and_reported_once() -> None:
    documents_gate([document("a")])
    verdict = documents_gate([document("a")])
    assert verdict.import_seconds == 0.0
    assert verdict.seconds > 0


def test_limits_can_be_set_and_checks_left_out() -> None:
    text = document("latin", "Stra\ufffde nach M\ufffdnchen")
    assert documents_gate([text], wrong_encoding=GateRule(limit=0.5)).passed == [text]
    verdict = documents_gate([text], wrong_encoding=GateRule("off"))
    assert verdict.passed == [text]
    assert "wrong_encoding" not in [result.observed["code"] for result in verdict.results]
    verdict = documents_gate([text], wrong_encoding=GateRule("flag"))
    assert (verdict.passed, verdict.failures) == ([text], [])
    verdict = documents_gate([text], some_replacements=GateRule("block"), wrong_encoding=GateRule("flag"))
    assert [failure.code for failure in verdict.failures] == ["some_replacements"]


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("no_such", GateRule("off")),
        ("lost_text", GateRule("off")),
        ("no_type", GateRule(limit=3)),
        ("too_long", GateRule(limit=float("nan"))),
        ("too_long", GateRule("mask")),
        ("too_long", GateRule(options=("x",))),
        ("personal_data", GateRule(options=("EMAIL", "SHOE_SIZE"))),
        ("personal_data", GateRule(options=())),
        ("language", GateRule(options=("klingon",))),
    ],
)
def test_a_rule_that_does_not_fit_its_check_is_refused(code: str, rule: GateRule) -> None:
    with pytest.raises(BadRequest, match=code):
        documents_gate([document("a")], **{code: rule})


def test_codes_are_unique_over_all_suites() -> None:
    codes = [check.code for checks in SUITES.values() for check in checks]
    assert len(codes) == len(set(codes)) > 25
    for suite, checks in SUITES.items():
        assert [suite_of(check.code) for check in checks] == [suite] * len(checks)


def test_a_check_that_cannot_be_evaluated_lets_nothing_through() -> None:
    broken = Check("broken", "expect_column_values_to_be_between", "no_such_column", "block", "", "max_value", 1)
    with pytest.raises(Terminal, match=r"broken.*No document of this batch passed"):
        evaluate("documents", [broken], features([document("a")]))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200) | st.text(st.characters(), min_size=1, max_size=50).map(lambda text: text * 700))
def test_shares_are_shares_for_any_text(text: str) -> None:
    (row,) = (
        dict(zip(columns, row, strict=True))
        for columns in [features([document("a", text)])]
        for row in zip(*columns.values(), strict=True)
    )
    assert row["chars"] == len(text)
    assert row["visible_chars"] == sum(not char.isspace() for char in text)
    for name, value in row.items():
        if name.endswith("_share"):
            assert 0 <= value <= 1, name
