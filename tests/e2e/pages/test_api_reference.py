"""The page of the HTTP API's routes, where each can be tried."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from support.page_server import HOSTILE, PageData


def operation(page: Page, text: str) -> Locator:
    """Opens the first route whose line has the text."""
    expect(page).to_have_title("Sluice API")
    expect(page.locator("details.operation").nth(15)).to_be_visible()  # more than 15 of them
    page.locator("summary").filter(has_text=text).first.click()
    opened = page.locator("details.operation[open]")
    expect(opened.locator("form")).to_be_visible()
    return opened


def test_the_search_page_leads_to_the_api_and_a_route_can_be_tried(page: Page, data: PageData, address: str) -> None:
    page.goto(address)
    page.locator("header").get_by_role("link", name="API").click()
    opened = operation(page, "/search")
    shown = opened.inner_text()
    for piece in ("min_score", "number, 0 to 1 or null", "nothing_relevant", "422 Unprocessable", "Try it"):
        assert piece in shown
    opened.get_by_role("button", name="Send").click()
    expect(opened.locator(".answer pre + p + pre")).to_be_visible()
    answer = opened.locator(".answer").inner_text()
    assert answer.startswith("200") and '"nothing_relevant": false' in answer and HOSTILE.split('"')[0] in answer
    assert f"curl -sS -X POST '{address}api/v1/search'" in answer
    assert (data.searches[-1].collection, data.searches[-1].top_k) == ("demo", 3)
    assert page.locator("main img, main script").count() == 0


def test_what_changes_data_is_not_sent_by_accident(page: Page, address: str) -> None:
    methods: list[str] = []
    page.on("request", lambda request: methods.append(request.method))
    page.goto(f"{address}api/v1/docs")
    opened = operation(page, "DELETE")
    opened.locator("form [name=collection]").fill("handbook")
    opened.get_by_role("button", name="Send").click()
    assert opened.locator("form input[type=checkbox]").evaluate("box => box.validity.valueMissing") is True
    assert opened.locator(".answer").inner_text() == ""
    assert set(methods) == {"GET"}
