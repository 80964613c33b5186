"""The page with the history of evaluations, in a browser."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from sluice.model.evaluation import FUSED, METRICS, Comparison, Evaluation, RetrieverScores
from sluice.model.weights import LearnedWeights, Weights
from support.browser import notice
from support.page_server import PROFILE, WHEN, PageData


def evaluation(number: int, ndcg: float, generation: int = 1, golden_set: str = "default") -> Evaluation:
    scores = tuple(
        RetrieverScores(
            name,
            np.ones((20, 4), np.float32),
            {each: ndcg - less - at / 10 for at, each in enumerate(METRICS)},
            {each: [ndcg - less - at / 10 - 0.04, ndcg - less - at / 10 + 0.04] for at, each in enumerate(METRICS)},
            4.0,
            9.4,
        )
        for name, less in ((FUSED, 0.0), ("dense", 0.05), ("sparse", 0.09))
    )
    fell = ndcg < 0.6
    baseline = UUID(int=99) if number else None
    comparison = Comparison("flag", 0.02, baseline, 20, 9 * fell, 0.7 - ndcg, 0.001 if fell else 0.4, dropped=fell)
    return Evaluation(
        UUID(int=number + 1), "default", "handbook", golden_set, f"v{number // 4}", generation, PROFILE, None,
        "airflow:sluice_evaluate/manual__1", WHEN + timedelta(days=number), 20, 30, 1.0, (), scores, comparison,
    )  # fmt: skip


HISTORY = (
    evaluation(0, 0.70), evaluation(1, 0.71), evaluation(2, 0.69), evaluation(3, 0.48), evaluation(4, 0.72, 2),
    evaluation(5, 0.74, 2), evaluation(6, 0.81, 2, "feedback"),
)  # fmt: skip


@pytest.fixture
def history(data: PageData) -> PageData:
    data.evaluations = HISTORY
    data.weights = LearnedWeights(Weights(0.6, 0.4, -0.1), 225, 0.016, 0.001, WHEN)
    return data


@pytest.mark.parametrize("width", [1000, 390])
def test_the_history_as_a_chart_with_intervals_and_generations(
    page: Page, address: str, history: PageData, width: int, tmp_path: Path
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{address}evaluations?collection=handbook")
    charts = page.locator("svg.chart")
    expect(charts).to_have_count(2)
    assert page.locator("#steps h2").all_inner_texts() == ["Golden set default", "Golden set feedback"]
    first = charts.first
    assert first.locator("path.band").count() == 1
    assert first.locator("path.series").count() == 3 and first.locator("path.series.fused").count() == 1
    assert first.locator("circle.point").count() == 5 and first.locator("path.point.warning").count() == 1
    assert first.locator("line.generation").count() == 1
    words = first.locator("text").all_text_contents()
    assert {"generation 2", "fused", "dense", "sparse", "2026-05-04", "2026-05-09"} <= set(words)
    assert "0.480 [0.440, 0.520], generation 1, warning" in (first.locator("path.warning title").text_content() or "")
    rows = page.locator("#steps > li").first.locator("tbody tr")
    assert rows.count() == 6
    assert "0.740 [0.700, 0.780]" in rows.first.inner_text()
    assert "▲ warning −0.220 nDCG@10" in rows.nth(2).inner_text().replace("\n", " ")
    assert "nothing to compare with" in rows.last.inner_text()
    assert rows.first.locator("a").get_attribute("href") == "/dags/sluice_evaluate/runs/manual__1"
    learned = "Weights learned from 225 questions (+0.016 nDCG@10): similarity 0.6, words 0.400, pairs of words 0.4"
    assert learned in page.locator("#status").inner_text()
    box = first.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= width, "the chart fits into the page"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=tmp_path / f"evaluations-{width}.png", full_page=True)


def test_another_metric_and_another_collection(page: Page, address: str, history: PageData) -> None:
    page.goto(f"{address}evaluations")
    page.locator("#metric").select_option("mrr")
    assert "MRR on golden set default" in (page.locator("svg.chart title").first.text_content() or "")
    assert "0.540 [0.500, 0.580]" in page.locator("#steps tbody tr").first.inner_text()
    page.locator("#collection").select_option("archive")
    expect(page.locator("#status")).to_contain_text("archive was not evaluated yet")
    expect(page.locator("svg.chart")).to_have_count(0)
    assert page.url.endswith("collection=archive&tenant=default")


def test_a_collection_that_is_not_there_is_told(page: Page, address: str, history: PageData) -> None:
    page.goto(f"{address}evaluations?collection=nope")
    said = 'There is no collection "nope" that you may read. This is handbook.'
    expect(page.locator("#notice")).to_contain_text(said)
    page.locator("#collection").select_option("archive")
    expect(page.locator("#notice")).to_be_hidden()


def test_one_evaluation_alone(page: Page, address: str, data: PageData) -> None:
    data.evaluations = HISTORY[:1]
    page.goto(f"{address}evaluations")
    expect(page.locator("circle.point")).to_have_count(1)
    expect(page.locator("line.interval")).to_have_count(1)
    expect(page.locator("path.band")).to_have_count(0)
    assert page.locator("svg.chart text").all_text_contents().count("2026-05-04") == 1


def test_too_few_questions_to_compare_are_told(page: Page, address: str, data: PageData) -> None:
    few = evaluation(1, 0.71)
    assert few.comparison is not None
    data.evaluations = (replace(few, comparison=replace(few.comparison, queries=3, drop=0.0, p=1.0)),)
    page.goto(f"{address}evaluations")
    row = page.locator("#steps tbody tr").first
    expect(row).to_contain_text("only 3 questions to compare, 5 are needed")
    expect(row).not_to_contain_text("+0.000")


def test_what_cannot_be_shown_is_told_in_words(page: Page, address: str, history: PageData) -> None:
    history.signed_in = False
    page.goto(f"{address}evaluations")
    assert "You are signed out" in notice(page)
    history.signed_in = True
    history.collections = []
    page.goto(f"{address}evaluations")
    expect(page.locator("#status")).to_have_text("There is no collection that you may read.")
