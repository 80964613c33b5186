"""The page of one run's gate results."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from support.browser import notice
from support.page_server import HOSTILE, LINEAGE, PASSAGES


def test_a_lineage_leads_to_the_gates_of_its_run(page: Page, address: str) -> None:
    page.goto(f"{address}lineage?chunk={PASSAGES[1].chunk_id}")
    expect(page.locator("#steps > li")).to_have_count(7)
    page.locator("#steps").get_by_role("link", name="All gate results of this run").click()
    expect(page).to_have_title("Sluice gates")
    expect(page.locator("tbody").first).to_be_visible()
    shown = page.locator("body").inner_text()
    for piece in (
        "replay",
        "Checks: 1 failed, 1 warning, 1 passed",
        "quarantines the document",
        "7 of 1,200",
        "Rows that failed a check: 3",
    ):
        assert piece in shown
    assert page.locator("#steps > li:nth-child(2) tbody tr td:first-child").all_inner_texts() == [
        "text within the length limit: ✕ failed",
        "personal data: ▲ warning",
        "not empty: ✓ passed",
    ], "failures and warnings come first"
    rows = page.locator("#steps > li:nth-child(3) tbody tr")
    expect(rows).to_have_count(2)
    page.locator("button.more").click()
    expect(page.locator("button.more")).to_have_count(0)
    expect(rows).to_have_count(3)
    assert rows.nth(2).inner_text().split("\t") == ["letters/002.md", "2", "no personal data", "2 email"]
    assert HOSTILE in rows.nth(1).inner_text() and HOSTILE in shown
    assert page.locator("#steps img, #steps script").count() == 0
    assert page.title() == "Sluice gates"
    assert [link.get_attribute("href") for link in page.locator("#steps a").all()] == [
        "/dags/sluice_ingest/runs/manual__1%20%26%20more"
    ]


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("", "The address names no run"),
        (f"?run={LINEAGE.document_id}", "Not found"),
        ("?run=x", "The request is invalid"),
    ],
    ids=["none", "unknown", "malformed"],
)
def test_gates_that_cannot_be_shown_in_plain_words(page: Page, address: str, query: str, answer: str) -> None:
    page.goto(f"{address}gates{query}")
    assert answer in notice(page)
    assert page.title() == "Sluice gates"
