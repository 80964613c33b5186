"""The page of one passage's lineage."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from support.browser import notice, search
from support.page_server import HOSTILE, LINEAGE, PASSAGES, PageData

CHUNK = PASSAGES[1].chunk_id


def open_lineage(page: Page, address: str) -> None:
    page.goto(f"{address}lineage?chunk={CHUNK}")
    expect(page.locator("#steps > li")).to_have_count(7)


def test_a_result_leads_to_its_lineage(page: Page, address: str) -> None:
    page.goto(address)
    search(page)
    page.locator("#results a").nth(1).click()
    expect(page.locator("#steps > li")).to_have_count(7)
    shown = page.locator("body").inner_text()
    for piece in (
        "file:///docs",
        "superseded",
        "active",
        "2026-05-04T12:00:00Z",
        "unique document ids: ✓ passed",
        "not empty: ✕ failed",
        "7 of 1,200",
        "1,234 from the cache",
        "handbook__g3",
    ):
        assert piece in shown
    assert [link.get_attribute("href") for link in page.locator("#steps a").all()] == [
        "/dags/sluice_ingest/runs/manual__1%20%26%20more",
        f"gates?run={LINEAGE.run_id}&tenant=default",
        "http://marquez.test/lineage/dataset/file/%2Fdocs",
        "http://marquez.test/lineage/dataset/qdrant%3A%2F%2Fdb%3A6333/handbook__g3",
    ]
    assert page.locator("#steps img, #steps script").count() == 0
    assert HOSTILE in shown and page.title() == "Sluice lineage"


def test_it_begins_with_the_passage_and_its_warnings(page: Page, address: str) -> None:
    open_lineage(page, address)
    first = page.locator("#steps > li").first.inner_text()
    assert first.startswith(HOSTILE) and f"{HOSTILE} pumps" in first
    assert page.locator(".flags li").all_inner_texts() == [
        "chunks have search terms: ▲ warning, no search term (this passage)",
        "no personal data: ▲ warning (the whole document)",
    ]
    assert page.locator("#steps > li:nth-child(5) tbody tr td:first-child").all_inner_texts() == [
        "not empty: ✕ failed",
        "chunks have search terms: ▲ warning",
        "unique document ids: ✓ passed",
    ]


@pytest.mark.parametrize("width", [400, 1200])
def test_the_way_to_the_collection_is_a_picture_that_can_be_read_aloud(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_lineage(page, address)
    expect(page.locator("#steps svg .box")).to_have_count(5)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    drawing = page.locator("svg")
    assert drawing.evaluate("svg => svg.classList.contains('tall')") is (width == 400)
    expect(drawing).to_have_attribute("role", "img")
    description = drawing.locator("desc").text_content() or ""
    assert description.startswith(f"Document: {HOSTILE}, file:///docs. Then Version: version 2, 2026-05-04T12:00:00Z, ")
    assert "Gate results of the run: 1 failed, 1 warning, 1 passed. Then Collection: handbook" in description
    lengths = drawing.locator("text").evaluate_all("texts => texts.map(text => text.getComputedTextLength())")
    assert lengths and max(lengths) <= 296


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("", "The address names no passage"),
        (f"?chunk={PASSAGES[0].chunk_id}", "Not found"),
        ("?chunk=x", "The request is invalid"),
    ],
    ids=["none", "unknown", "malformed"],
)
def test_a_lineage_that_cannot_be_shown_in_plain_words(
    page: Page, data: PageData, address: str, query: str, answer: str
) -> None:
    page.goto(f"{address}lineage{query}")
    assert answer in notice(page)
    assert page.title() == "Sluice lineage"
