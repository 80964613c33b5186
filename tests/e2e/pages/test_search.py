"""The search page: results, notices, keyboard."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from support.browser import notice, search
from support.page_server import HOSTILE, LONG, PageData


def test_a_result_shows_its_text_and_its_citation(page: Page, data: PageData, address: str) -> None:
    page.goto(address)
    search(page)
    expect(page.locator("article")).to_have_count(3)
    first = page.locator("article").first
    shown = first.inner_text()
    for piece in ("Upkeep", "Manual › Upkeep of pumps", "file:///docs/0.md", "1.000", "tags a, b"):
        assert piece in shown
    cited = re.sub(r"\s+", " ", first.locator("dl").first.inner_text())
    assert "page 7 characters 1,000–" in cited
    assert "version 2 generation 3 run " in cited
    assert {"Pumps", "inspected"} <= set(first.locator(".text mark").all_text_contents())
    expect(page.locator("#status")).to_contain_text("3 passages by meaning and words in 12 ms")
    assert (data.searches[-1].collection, data.searches[-1].top_k) == ("handbook", 10)


def test_ingested_text_stays_text(page: Page, address: str) -> None:
    page.goto(address)
    search(page)
    expect(page.locator("article")).to_have_count(3)
    assert page.title() == "Sluice search"
    assert page.locator("img, #results script, #results svg").count() == 0
    links = [link.get_attribute("href") or "" for link in page.locator("#results a").all()]
    assert [link.split("=")[0] for link in links] == ["lineage?chunk"] * 3
    hostile = page.locator("article").nth(1)
    assert hostile.locator("h2").text_content() == HOSTILE
    assert hostile.inner_text().count("<script>") == 6


def test_everything_works_by_keyboard(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator("#collection")).to_be_enabled()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    query = page.locator("#query")
    expect(query).to_be_focused()
    expect(query).to_have_value("")  # the key itself is not typed
    page.keyboard.type("how are pumps inspected")
    page.keyboard.press("Enter")
    articles = page.locator("article")
    expect(articles).to_have_count(3)
    for key, position in (("ArrowDown", 0), ("j", 1), ("j", 2), ("j", 2), ("k", 1), ("ArrowUp", 0)):
        page.keyboard.press(key)
        expect(articles.nth(position)).to_be_focused()
    text = articles.first.locator(".text")
    cut = text.text_content() or ""
    assert cut.startswith("… ") and cut.endswith(" …") and len(cut) < 500
    page.keyboard.press("Enter")
    expect(page.locator(".more")).to_have_attribute("aria-expanded", "true")
    assert text.text_content() == LONG
    page.keyboard.press("Enter")
    expect(page.locator(".more")).to_have_attribute("aria-expanded", "false")
    assert text.text_content() == cut
    page.keyboard.press("k")
    expect(query).to_be_focused()


def test_the_form_chooses_collection_number_and_legs(page: Page, data: PageData, address: str) -> None:
    page.goto(address)
    page.get_by_label("Collection").select_option("archive")
    page.get_by_label("Results", exact=True).and_(page.locator("input")).fill("25")
    page.get_by_label("meaning").uncheck()
    search(page)
    request = data.searches[-1]
    assert (request.collection, request.top_k, request.retrievers) == ("archive", 25, ("sparse", "graph"))
    page.get_by_label("words").uncheck()
    page.get_by_label("links").uncheck()
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#status")).to_have_text("Tick meaning, words or links.")
    assert len(data.searches) == 1


def test_a_reload_searches_the_same_again(page: Page, data: PageData, address: str) -> None:
    page.goto(f"{address}#c=archive&q=a+pump+%26+more")
    expect(page.locator("article")).to_have_count(3)
    assert (data.searches[-1].collection, data.searches[-1].query) == ("archive", "a pump & more")
    page.reload()
    expect(page.locator("article")).to_have_count(3)
    assert [each.query for each in data.searches] == ["a pump & more"] * 2


def test_without_collections_it_says_how_to_ingest(page: Page, data: PageData, address: str) -> None:
    data.collections = []
    page.goto(address)
    assert "sluice ingest file:///your/folder" in notice(page)
    expect(page.locator("#go")).to_be_disabled()


def test_without_results_it_says_what_to_try(page: Page, data: PageData, address: str) -> None:
    data.passages = ()
    page.goto(address)
    search(page)
    assert "No passage was found" in notice(page)
    assert "Choose another collection" in notice(page)


def test_where_nothing_is_relevant_it_says_so_and_shows_no_passage(page: Page, data: PageData, address: str) -> None:
    data.nothing_relevant = True
    page.goto(address)
    search(page, "zzz qqq xxyzzy")
    assert "Nothing relevant was found" in notice(page)
    assert page.locator("article").count() == 0
    assert page.locator("#status").inner_text().startswith("No relevant passage by meaning and words")
    page.locator("#notice").get_by_role("button").click()
    expect(page.locator("article")).to_have_count(3)
    expect(page.locator("article").first).to_be_focused()


def test_a_lost_store_in_plain_words(page: Page, data: PageData, address: str) -> None:
    data.down = True
    page.goto(address)
    search(page)
    assert "Search is not available right now" in notice(page)
    assert "For the operator: request" in notice(page)


def test_an_ended_session_in_plain_words(page: Page, data: PageData, address: str) -> None:
    page.goto(address)
    expect(page.locator("#collection")).to_be_enabled()
    data.signed_in = False
    search(page)
    assert "You are signed out" in notice(page)


def test_no_grant_in_plain_words(page: Page, data: PageData, address: str) -> None:
    data.tenants = []
    page.goto(address)
    assert "You may not read this" in notice(page)
    assert "sluice grant ann --tenant default" in notice(page)


def test_a_rejected_question_in_plain_words(page: Page, address: str) -> None:
    page.goto(address)
    top_k = page.locator("#top-k")
    top_k.evaluate("field => field.removeAttribute('max')")
    top_k.fill("500")
    search(page)
    assert "The request is invalid" in notice(page)
    assert "top_k" in notice(page)


def test_a_lost_network_in_plain_words(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator("#collection")).to_be_enabled()
    page.context.set_offline(True)
    search(page)
    assert "The server cannot be reached" in notice(page)


def test_several_tenants_are_offered(page: Page, data: PageData, address: str) -> None:
    page.goto(address)
    expect(page.locator("#collection")).to_be_enabled()
    expect(page.locator("#tenant-field")).to_be_hidden()
    data.tenants = ["default", "acme"]
    page.reload()
    expect(page.locator("#tenant-field")).to_be_visible()
    assert page.locator("#tenant option").evaluate_all("options => options.map(o => o.value)") == ["acme", "default"]
    expect(page.locator("#tenant")).to_have_value("default")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_screen_in_both_schemes(page: Page, address: str, scheme: str) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    page.goto(address)
    search(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper.removeprefix("rgb(").removesuffix(")").split(","))) > 384) == (scheme == "light")
