from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.errors import BadRequest
from sluice.retrieval.judgement_files import read_qrels, read_queries
from sluice.retrieval.metrics import NAMES, collapse, compare, evaluate


def test_figures_of_a_case_worked_by_hand() -> None:
    qrels = {"q": {"a": 3.0, "b": 1.0, "c": 0.0}}
    figures = evaluate({"q": ["c", "a", "x"]}, qrels)
    assert figures["ndcg@10"] == pytest.approx((3 / math.log2(3)) / (3 + 1 / math.log2(3)))
    assert figures["recall@10"] == 0.5
    assert figures["mrr"] == 0.5
    assert figures["all_gold@10"] == 0.0
    assert figures["queries"] == 1


def test_only_the_first_ten_count() -> None:
    others = [str(n) for n in range(10)]
    assert evaluate({"q": [*others, "a"]}, {"q": {"a": 1}})["mrr"] == 0.0
    assert evaluate({"q": [*others[:9], "a"]}, {"q": {"a": 1}})["mrr"] == pytest.approx(0.1)


def test_queries_without_judgements_are_left_out_and_empty_rankings_score_nothing() -> None:
    figures = evaluate(
        {"q": ["a"], "empty": [], "unjudged": ["a"], "none": ["a"]},
        {
            "q": {"a": 1},
            "empty": {"a": 1},
            "none": {"a": 0},
            "not asked": {"a": 1},
        },
    )
    assert (figures["queries"], figures["ndcg@10"]) == (2, 0.5)
    with pytest.raises(BadRequest, match="first column"):
        evaluate({"q": ["a"]}, {"other": {"a": 1}})


def test_intervals_are_repeatable_and_hold_the_mean() -> None:
    rankings = {str(n): ["a" if n % 3 else "b"] for n in range(60)}
    qrels = {str(n): {"a": 1.0} for n in range(60)}
    figures = evaluate(rankings, qrels)
    assert figures == evaluate(rankings, qrels)
    low, high = figures["intervals"]["mrr"]
    # Normal approximation: 2/3 ± 1.96 · sqrt(2/9 / 60)
    assert low == pytest.approx(0.667 - 0.119, abs=0.03)
    assert high == pytest.approx(0.667 + 0.119, abs=0.03)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from("abcdefghijklmnop"), max_size=30),
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 3), min_size=1),
)
def test_all_figures_are_shares_and_the_best_ranking_gets_one(ranking: list[str], gains: dict[str, float]) -> None:
    figures = evaluate({"q": ranking}, {"q": gains})
    assert all(0 <= figures[name] <= 1 + 1e-12 for name in NAMES)
    best = sorted(gains, key=lambda doc: -gains[doc])
    assert all(evaluate({"q": best}, {"q": gains})[name] == pytest.approx(1) for name in NAMES)


def test_a_difference_is_compared_query_by_query() -> None:
    qrels = {str(n): {"a": 1.0} for n in range(40)}
    better = {qid: ["a"] for qid in qrels}
    worse = {qid: ["x", "a"] for qid in qrels}
    figures = compare(better, worse, qrels)
    assert figures["mrr"] == {"difference": 0.5, "p": 0.0}
    assert figures["recall@10"] == {"difference": 0.0, "p": 1.0}
    mixed = {
        qid: ranking for ranking, qids in ((["a"], range(20)), (["x", "a"], range(20, 40))) for qid in map(str, qids)
    }
    swapped = {qid: mixed[str(39 - int(qid))] for qid in qrels}
    assert compare(mixed, swapped, qrels)["mrr"]["p"] > 0.5, "as many better as worse"
    with pytest.raises(BadRequest, match="no query in common"):
        compare({"1": ["a"]}, {"2": ["a"]}, qrels)


def test_passages_collapse_to_documents_at_their_best_place() -> None:
    assert collapse(["b", "a", "b", "c", "a"]) == ["b", "a", "c"]
    assert collapse([["b", "x", "a"], ["a"], ["c"]]) == ["b", "x", "a", "c"]


def test_files_are_read_with_or_without_header(tmp_path: Path) -> None:
    plain, headed, queries = tmp_path / "a.tsv", tmp_path / "b.tsv", tmp_path / "q.jsonl"
    plain.write_text("1\td 1\t2\n1\te\t0\n\n2\td\t1\n")
    headed.write_text("\ufeffquery-id\tcorpus-id\tscore\r\n1\td 1\t2\r\n1\te\t0\r\n2\td\t1\r\n", encoding="utf-8")
    assert read_qrels(plain) == read_qrels(headed) == {"1": {"d 1": 2.0, "e": 0.0}, "2": {"d": 1.0}}
    queries.write_text(
        '{"_id": 1, "text": "what\u2028is"}\n\n{"_id": "b", "text": "who", "more": 1}\n', encoding="utf-8"
    )
    assert read_queries(queries) == {"1": "what\u2028is", "b": "who"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no judgement"),
        ("a\tb\tc\n", "holds no judgement"),
        ("a\tb\t1\na\tb\n", "line 2"),
        ("a b 1\n", "tabs"),
        ("a\tb\t1\na\tc\tnan\n", "line 2"),
    ],
)
def test_bad_qrels_are_told_by_line(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "qrels.tsv").write_text(content)
    with pytest.raises(BadRequest, match=said):
        read_qrels(tmp_path / "qrels.tsv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no query"),
        ('{"_id": 1, "text": "a"}\nnot json\n', "line 2"),
        ("[1]\n", "line 1"),
        ('{"_id": 1}\n', "_id"),
        ('{"_id": 1, "text": " "}\n', "empty"),
        ('{"_id": 1, "text": "a"}\n{"_id": "1", "text": "b"}\n', "twice"),
    ],
)
def test_bad_queries_are_told_by_line(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "queries.jsonl").write_text(content)
    with pytest.raises(BadRequest, match=said):
        read_queries(tmp_path / "queries.jsonl")


def test_a_missing_file_is_a_bad_request(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="cannot be read"):
        read_qrels(tmp_path / "no.tsv")
