"""One browser and one server for the folder; a new page and new data for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from support import browser as browsers
from support import page_server
from support.page_server import PageData


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with browsers.chromium() as running:
        yield running


@pytest.fixture(scope="package")
def served(browser: Browser) -> Iterator[tuple[str, PageData]]:
    data = PageData()
    with page_server.serve(data) as address:
        yield address, data


@pytest.fixture
def address(served: tuple[str, PageData]) -> str:
    """Of the search page, with a slash at its end."""
    return served[0]


@pytest.fixture
def data(served: tuple[str, PageData]) -> PageData:
    served[1].reset()
    return served[1]


@pytest.fixture
def page(browser: Browser, data: PageData) -> Iterator[Page]:
    with browsers.new_page(browser) as (page, errors):
        yield page
        assert errors == [], "a script failed, or the content policy blocked something"
