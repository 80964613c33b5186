"""Headless Chromium under Playwright: the system's program, not one that Playwright downloads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_MS = 30_000
# The console reports each response that is not 2xx, and tests of notices ask for such responses.
_EXPECTED = "Failed to load resource"


def program() -> str:
    """The path of the installed Chromium. Skips the test where there is none."""
    result = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if result is None:
        pytest.skip("the pages are tested in Chromium, which is not installed (Debian: apt-get install chromium)")
    return result


@contextmanager
def chromium() -> Iterator[Browser]:
    """One browser. Until it is closed, Playwright's event loop runs in this thread: no `asyncio.run` beside it."""
    path = program()
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        # Chromium refuses its sandbox to root, as in containers.
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=os.geteuid() != 0)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def new_page(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """A page with its own cookies and cache, and its errors: failed scripts, and what the content policy blocked."""
    context = browser.new_context(locale="en-US")
    context.set_default_timeout(TIMEOUT_MS)
    page, errors = context.new_page(), []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_EXPECTED):
            errors.append(message.text)

    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", note)
    try:
        yield page, errors
    finally:
        context.close()


def search(page: Page, question: str = "how are pumps inspected") -> None:
    """Types a question into the search page and waits for passages or a notice."""
    page.locator("#query").fill(question)
    page.locator("#query").press("Enter")
    expect(page.locator("article, #notice").filter(visible=True).first).to_be_visible()


def notice(page: Page) -> str:
    """What the page's notice says, as soon as there is one."""
    expect(page.locator("#notice")).to_be_visible()
    return page.locator("#notice").inner_text()
