"""The search page in a real browser: headless Chromium, driven over its DevTools protocol."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from websockets.sync.client import connect

from sluice.api.app import create_app
from sluice.encryption import Cipher, new_key
from sluice.errors import NotFound, Unavailable
from sluice.model.catalog import CollectionInfo
from sluice.model.gates import FailedRow, GateRow, GateTotal, RunGates
from sluice.model.generation import Generation, Profile
from sluice.model.grants import Grant, Principal
from sluice.model.passage import Passage, PassageLineage, VersionStep
from sluice.model.search import Hydrated, SearchRequest
from sluice.retrieval.searching import SearchOutcome

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
LONG = "The pump room is dry. " * 40 + "Pumps are inspected monthly. " + "Nothing else matters here. " * 40
PROFILE = Profile("chars:100:0", "hash:4", "off", 4)


def passage(number: int, title: str, text: str, **changes: Any) -> Passage:
    fields: dict[str, Any] = {
        "chunk_id": uuid5(NAMESPACE_URL, f"chunk {number}"),
        "document_id": uuid5(NAMESPACE_URL, f"document {number}"),
        "external_id": f"{number}.md",
        "title": title,
        "text": text,
        "score": 1 / (number + 1),
        "uri": f"file:///docs/{number}.md",
        "start": 1000,
        "end": 1000 + len(text),
        "page": None,
        "headings": (),
        "metadata": {},
        "version": 2,
        "generation": 3,
        "run_id": uuid5(NAMESPACE_URL, "run"),
    }
    return Passage(**{**fields, **changes})


PASSAGES = (
    passage(0, "Upkeep", LONG, page=7, headings=("Manual", "Upkeep of pumps"), metadata={"tags": ["a", "b"]}),
    passage(
        1,
        HOSTILE,
        f"{HOSTILE} pumps",
        headings=(HOSTILE, "Below"),
        metadata={HOSTILE: HOSTILE},
        uri=f"file:///{HOSTILE}",
    ),
    passage(2, "Short", "A pump."),
)

WHEN = datetime(2026, 5, 4, 12, tzinfo=UTC)
PAST = PassageLineage(
    chunk_id=PASSAGES[1].chunk_id,
    document_id=PASSAGES[1].document_id,
    external_id=HOSTILE,
    uri=f"javascript:{HOSTILE}",
    source_uri="file:///docs",
    collection="handbook",
    first_seen_at=WHEN,
    expires_at=None,
    version=2,
    generation=3,
    physical="handbook__g3",
    profile=PROFILE,
    run_id=PASSAGES[1].run_id,
    orchestrator="airflow:sluice_ingest/manual__1 & more",
    run_state="succeeded",
    started_at=WHEN,
    finished_at=WHEN,
    history=tuple(
        VersionStep(number, 3, state, PASSAGES[1].run_id, WHEN) for number, state in ((1, "superseded"), (2, "active"))
    ),
    gates=(
        GateTotal("validate", "documents", "unique", "document_id", True, True, 1200, 0, "duplicate_id"),
        GateTotal("validate", "texts", "not_empty", "text", True, False, 1200, 7),
        GateTotal("embed", "vectors", "between", "no_terms", False, False, 1200, 1, "no_terms"),
    ),
    computed=5,
    cached=1234,
    datasets=("file:/docs", "qdrant://db:6333:handbook__g3"),
    rows=(GateRow(PASSAGES[1].document_id, 0, "vectors", "no_terms", "between", 1.0),),
)
KEY = new_key()


def hydrated() -> Hydrated:
    """`PASSAGES[1]` as the ledger has it."""
    of, cipher = PASSAGES[1], Cipher(KEY, "default", PASSAGES[1].document_id)
    return Hydrated(
        of.chunk_id, of.document_id, of.external_id, of.uri, of.version, of.generation, of.run_id, of.start, of.end,
        of.page, "text/plain", cipher.encrypt_text("chunk", of.text, of.chunk_id),
        cipher.encrypt_json("headings", list(of.headings), of.chunk_id), cipher.encrypt_text("title", of.title),
        cipher.encrypt_json("metadata", {"gate_flags": ["personal_data", "no_terms"]}),
    )  # fmt: skip


FAILED = tuple(
    FailedRow(
        HOSTILE if number == 1 else f"letters/{number:03}.md",
        GateRow(
            PAST.document_id, number or None, "documents", "personal_data", "between", {"kinds": {"EMAIL": number}}
        ),
    )
    for number in range(3)
)
GATED = RunGates(
    run_id=PAST.run_id,
    collection="handbook",
    source_uri=f"file:///docs/{HOSTILE}",
    mode="replay",
    orchestrator=PAST.orchestrator,
    state="succeeded",
    started_at=WHEN,
    finished_at=None,
    gates=(
        GateTotal("validate", "documents", "not_empty", "text", False, True, 1200, 0),
        GateTotal("validate", "documents", "expect_values_between", "chars", True, False, 1200, 7, "too_long"),
        GateTotal("validate", "documents", "personal_data", "personal_data", False, False, 1200, 3),
    ),
    rows=FAILED,
    rows_total=3,
)


@dataclass
class Shelf:
    """What the page is served: set by each test."""

    collections: list[str] = field(default_factory=lambda: ["handbook", "archive"])
    tenants: list[str] = field(default_factory=lambda: ["default"])
    passages: tuple[Passage, ...] = PASSAGES
    nothing_relevant: bool = False
    down: bool = False
    signed_in: bool = True
    asked: list[SearchRequest] = field(default_factory=list)

    async def authenticate(self, request: Request) -> str | None:
        return "ann" if self.signed_in or not request.url.path.startswith("/sluice/api") else None

    def tools(self) -> Any:
        catalog = SimpleNamespace(
            grants=lambda name: [Grant(name, tenant, frozenset({"*"}), False) for tenant in self.tenants],
            lineage=self.lineage,
            live=lambda collection, principal: (Generation(PAST.run_id, collection, 3, PROFILE, "handbook__g3"), ()),
            hydrate=lambda generation, chunk_ids, principal: [hydrated()],
            run_gates=self.run_gates,
            collections=lambda principal: [CollectionInfo(name, 3, PROFILE, 1, 3, 0) for name in self.collections],
        )
        keyring = SimpleNamespace(get=lambda document_ids: {PASSAGES[1].document_id: KEY})
        return SimpleNamespace(
            catalog=catalog,
            keyring=keyring,
            close=lambda: None,
            marquez_url=None,
            marquez_web_url="http://marquez.test",
        )

    def lineage(self, principal: Principal, chunk_id: UUID) -> PassageLineage:
        if chunk_id != PASSAGES[1].chunk_id:
            raise NotFound("There is no such passage that you may read.")
        return PAST

    def run_gates(self, principal: Principal, run_id: UUID, *, limit: int, offset: int) -> RunGates:
        if run_id != GATED.run_id:
            raise NotFound("There is no such run that you may read.")
        return replace(GATED, rows=FAILED[offset : offset + 2])  # pages of two

    def make_search(self, tools: Any) -> Any:
        return self.search

    def search(self, request: SearchRequest, principal: Principal) -> SearchOutcome:
        if self.down:
            raise Unavailable("Qdrant", "no answer within 5 s")
        self.asked.append(request)
        return SearchOutcome(self.passages, request.legs, (), 3, 12.0, self.nothing_relevant)


KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "ArrowDown": (40, ""), "ArrowUp": (38, "")}


class Browser:
    """One tab. Every call waits at most 30 s."""

    def __init__(self, program: str, folder: Path) -> None:
        # Chromium refuses its sandbox to root, as in containers.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        flags = ["--headless=new", "--remote-debugging-port=0", "--disable-gpu", "--disable-dev-shm-usage"]
        self._process = subprocess.Popen(
            [program, *flags, *sandbox, "--no-first-run", f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._open = ExitStack()
        try:
            self._socket = self._open.enter_context(
                connect(self._address(folder / "DevToolsActivePort"), max_size=None)
            )
        except BaseException:
            self._process.kill()
            raise
        self._last = 0
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def _address(self, mark: Path) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if mark.exists() and (lines := mark.read_text().split()):
                tabs = httpx.get(f"http://127.0.0.1:{lines[0]}/json/list", timeout=30).json()
                if found := [tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"]:
                    return str(found[0])
            time.sleep(0.05)
        raise TimeoutError("Chromium did not open its DevTools port within 60 s")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=30))
            if message.get("id") == self._last:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            if message["method"] == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(message["params"]))
            entry = message["params"].get("entry", {}) if message["method"] == "Log.entryAdded" else {}
            if entry.get("source") in ("security", "javascript"):
                self.errors.append(entry["text"])

    def js(self, expression: str) -> Any:
        return self.send("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def until(self, expression: str) -> Any:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if value := self.js(expression):
                return value
            time.sleep(0.05)
        raise AssertionError(f"not within 30 s: {expression}; the page says: {self.js('document.body.innerText')}")

    def open(self, address: str) -> None:
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && document.getElementById('status')?.textContent === ''")

    def key(self, name: str) -> None:
        code, text = KEYS[name] if name in KEYS else (ord(name.upper()), name)
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=code, text=text)

    def type(self, text: str) -> None:
        self.send("Input.insertText", text=text)

    def close(self) -> None:
        self._open.close()
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("the page is tested in Chromium, which is not installed (Debian: apt-get install chromium)")
    started = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, Shelf]]:
    shelf = Shelf()
    root = FastAPI()
    root.mount("/sluice", create_app(shelf.tools, shelf.authenticate, shelf.make_search))
    server = uvicorn.Server(uvicorn.Config(root, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/sluice/", shelf
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def shelf(served: tuple[str, Shelf]) -> Shelf:
    """As new for each test."""
    served[1].__dict__.update(Shelf().__dict__)
    return served[1]


@pytest.fixture
def page(served: tuple[str, Shelf], shelf: Shelf, browser: Browser) -> Iterator[Browser]:
    browser.errors.clear()
    yield browser
    assert browser.errors == []  # no script failed, and nothing was stopped by the content policy


@pytest.fixture
def address(served: tuple[str, Shelf]) -> str:
    return served[0]


def ask(page: Browser, question: str = "how are pumps inspected") -> None:
    page.js("document.getElementById('query').focus()")
    page.type(question)
    page.key("Enter")
    page.until("document.querySelectorAll('article').length > 0 || !document.getElementById('notice').hidden")


def test_a_result_shows_its_words_and_where_it_comes_from(page: Browser, shelf: Shelf, address: str) -> None:
    page.open(address)
    ask(page)
    assert page.js("document.querySelectorAll('article').length") == 3
    first = page.js("document.querySelector('article').innerText")
    for piece in ("Upkeep", "Manual › Upkeep of pumps", "file:///docs/0.md", "1.000", "tags a, b"):
        assert piece in first
    cited = page.js("[...document.querySelectorAll('article:first-of-type dl')][0].innerText.replace(/\\s+/g, ' ')")
    assert "page 7 characters 1,000–" in cited
    assert "version 2 generation 3 run " in cited
    marks = page.js("[...document.querySelector('article').querySelectorAll('.text mark')].map(m => m.textContent)")
    assert {"Pumps", "inspected"} <= set(marks)
    assert "3 passages by meaning and words in 12 ms" in page.js("document.getElementById('status').textContent")
    assert (shelf.asked[-1].collection, shelf.asked[-1].top_k) == ("handbook", 10)


def test_ingested_text_stays_text(page: Browser, address: str) -> None:
    page.open(address)
    ask(page)
    assert page.js("document.title") == "Sluice search"
    assert page.js("document.querySelectorAll('img, #results script, #results svg').length") == 0
    links = page.js("[...document.querySelectorAll('#results a')].map(link => link.getAttribute('href'))")
    assert [link.split("=")[0] for link in links] == ["lineage?chunk"] * 3
    assert page.js("document.querySelectorAll('article')[1].querySelector('h2').textContent") == HOSTILE
    assert page.js("document.querySelectorAll('article')[1].innerText").count("<script>") == 6


def test_everything_works_by_keyboard(page: Browser, address: str) -> None:
    page.open(address)
    page.js("document.activeElement.blur()")
    page.key("/")
    assert page.js("document.activeElement.id") == "query"
    assert page.js("document.getElementById('query').value") == ""  # the key itself is not typed
    ask(page)
    at = "[...document.querySelectorAll('article')].indexOf(document.activeElement)"
    positions = []
    for key in ("ArrowDown", "j", "j", "j", "k", "ArrowUp"):
        page.key(key)
        positions.append(page.js(at))
    assert positions == [0, 1, 2, 2, 1, 0]
    text = "document.querySelector('article .text').textContent"
    cut = page.js(text)
    assert cut.startswith("… ") and cut.endswith(" …") and len(cut) < 500
    page.key("Enter")
    assert page.js(text) == LONG
    assert page.js("document.querySelector('.more').getAttribute('aria-expanded')") == "true"
    page.key("Enter")
    assert page.js(text) == cut
    page.key("k")
    assert page.js("document.activeElement.id") == "query"


def test_the_form_chooses_collection_number_and_legs(page: Browser, shelf: Shelf, address: str) -> None:
    page.open(address)
    page.js("document.getElementById('collection').value = 'archive'")
    page.js("document.getElementById('top-k').value = 25")
    page.js("document.getElementById('dense').click()")
    ask(page)
    asked = shelf.asked[-1]
    assert (asked.collection, asked.top_k, asked.legs) == ("archive", 25, ("sparse",))
    page.js("document.getElementById('sparse').click()")
    page.js("document.getElementById('form').requestSubmit()")
    assert page.until("document.getElementById('status').textContent") == "Tick meaning, words or both."
    assert len(shelf.asked) == 1


def test_a_reload_asks_the_same_again(page: Browser, shelf: Shelf, address: str) -> None:
    page.send("Page.navigate", url="about:blank")
    page.send("Page.navigate", url=f"{address}#c=archive&q=a+pump+%26+more")
    page.until("document.querySelectorAll('article').length === 3")
    assert (shelf.asked[-1].collection, shelf.asked[-1].query) == ("archive", "a pump & more")


NOTICE = "!document.getElementById('notice').hidden && document.getElementById('notice').innerText"


def notice(page: Browser) -> str:
    return str(page.until(NOTICE))


def test_without_collections_it_says_how_to_ingest(page: Browser, shelf: Shelf, address: str) -> None:
    shelf.collections = []
    page.open(address)
    assert "sluice ingest file:///your/folder" in notice(page)
    assert page.js("document.getElementById('go').disabled") is True


def test_without_results_it_says_what_to_try(page: Browser, shelf: Shelf, address: str) -> None:
    shelf.passages = ()
    page.open(address)
    ask(page)
    assert "No passage was found" in notice(page)
    assert "Choose another collection" in notice(page)


def test_where_nothing_is_relevant_it_says_so_and_shows_no_passage(page: Browser, shelf: Shelf, address: str) -> None:
    shelf.nothing_relevant = True
    page.open(address)
    ask(page, "zzz qqq xxyzzy")
    assert "Nothing relevant was found" in notice(page)
    assert page.js("document.querySelectorAll('article').length") == 0
    assert page.js("document.getElementById('status').innerText").startswith("No relevant passage by meaning and words")
    page.js("document.querySelector('#notice button').click()")
    assert page.js("document.querySelectorAll('article').length") == 3
    assert page.js("document.activeElement.matches('article')") is True


def test_a_lost_store_in_plain_words(page: Browser, shelf: Shelf, address: str) -> None:
    shelf.down = True
    page.open(address)
    ask(page)
    assert "Search is not available right now" in notice(page)
    assert "For the operator: request" in notice(page)


def test_an_ended_session_in_plain_words(page: Browser, shelf: Shelf, address: str) -> None:
    page.open(address)
    shelf.signed_in = False
    ask(page)
    assert "You are signed out" in notice(page)


def test_no_grant_in_plain_words(page: Browser, shelf: Shelf, address: str) -> None:
    shelf.tenants = []
    page.open(address)
    assert "You may not read this" in notice(page)
    assert "sluice grant ann --tenant default" in notice(page)


def test_a_refused_question_in_plain_words(page: Browser, address: str) -> None:
    page.open(address)
    page.js("document.getElementById('top-k').removeAttribute('max')")
    page.js("document.getElementById('top-k').value = 500")
    ask(page)
    assert "This cannot be searched as it is" in notice(page)
    assert "top_k" in notice(page)


def test_a_lost_network_in_plain_words(page: Browser, address: str) -> None:
    page.open(address)
    page.send("Network.enable")
    page.send("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
    try:
        ask(page)
        assert "The server cannot be reached" in notice(page)
    finally:
        page.send(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )


def test_several_tenants_are_offered(page: Browser, shelf: Shelf, address: str) -> None:
    page.open(address)
    assert page.js("document.getElementById('tenant-field').hidden") is True
    shelf.tenants = ["default", "acme"]
    page.open(address)
    assert page.js("[...document.getElementById('tenant').options].map(o => o.value)") == ["acme", "default"]
    assert page.js("document.getElementById('tenant').value") == "default"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_screen_in_both_schemes(page: Browser, address: str, scheme: str) -> None:
    page.send("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=False)
    page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    try:
        page.open(address)
        ask(page)
        assert page.js("document.documentElement.scrollWidth") <= 400
        paper = page.js("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, paper.removeprefix("rgb(").removesuffix(")").split(","))) > 384) == (scheme == "light")
    finally:
        page.send("Emulation.clearDeviceMetricsOverride")
        page.send("Emulation.setEmulatedMedia", features=[])


# --- a passage's past


def test_a_result_leads_to_its_past(page: Browser, address: str) -> None:
    page.open(address)
    ask(page)
    page.js("document.querySelectorAll('#results a')[1].click()")
    said = page.until("document.querySelectorAll('#steps > li').length === 7 && document.body.innerText")
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
        assert piece in said
    links = page.js("[...document.querySelectorAll('#steps a')].map(link => link.getAttribute('href'))")
    assert links == [
        "/dags/sluice_ingest/runs/manual__1%20%26%20more",
        f"gates?run={PAST.run_id}&tenant=default",
        "http://marquez.test/lineage/dataset/file/%2Fdocs",
        "http://marquez.test/lineage/dataset/qdrant%3A%2F%2Fdb%3A6333/handbook__g3",
    ]
    assert page.js("document.querySelectorAll('#steps img, #steps script').length") == 0
    assert HOSTILE in said and page.js("document.title") == "Sluice lineage"


def test_a_past_begins_with_the_passage_and_its_warnings(page: Browser, address: str) -> None:
    page.send("Page.navigate", url=f"{address}lineage?chunk={PASSAGES[1].chunk_id}")
    page.until("document.querySelectorAll('#steps > li').length === 7")
    first = page.js("document.querySelector('#steps > li').innerText")
    assert first.startswith(HOSTILE) and f"{HOSTILE} pumps" in first
    assert page.js("[...document.querySelectorAll('.flags li')].map(flag => flag.innerText)") == [
        "chunks have search terms: ▲ warning, no search term (this passage)",
        "no personal data: ▲ warning (the whole document)",
    ]
    order = "[...document.querySelectorAll('#steps > li:nth-child(5) tbody tr')].map(row => row.cells[0].innerText)"
    assert page.js(order) == [
        "not empty: ✕ failed",
        "chunks have search terms: ▲ warning",
        "unique document ids: ✓ passed",
    ]


@pytest.mark.parametrize("width", [400, 1200])
def test_the_way_to_the_collection_is_a_picture_that_can_be_read_aloud(page: Browser, address: str, width: int) -> None:
    page.send("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    try:
        page.send("Page.navigate", url=f"{address}lineage?chunk={PASSAGES[1].chunk_id}")
        page.until("document.querySelectorAll('#steps svg .box').length === 5")
        assert page.js("document.documentElement.scrollWidth") <= width
        assert page.js("document.querySelector('svg').classList.contains('tall')") is (width == 400)
        assert page.js("document.querySelector('svg').getAttribute('role')") == "img"
        said = page.js("document.querySelector('svg desc').textContent")
        assert said.startswith(f"Document: {HOSTILE}, file:///docs. Then Version: version 2, 2026-05-04T12:00:00Z, ")
        assert "Gate results of the run: 1 failed, 1 warning, 1 passed. Then Collection: handbook" in said
        inside = "[...document.querySelectorAll('svg text')].every(text => text.getComputedTextLength() <= 296)"
        assert page.js(inside) is True
    finally:
        page.send("Emulation.clearDeviceMetricsOverride")


@pytest.mark.parametrize(
    ("asked", "answer"),
    [("", "No passage was named"), (f"?chunk={PASSAGES[0].chunk_id}", "Not found"), ("?chunk=x", "cannot be searched")],
)
def test_a_past_that_cannot_be_shown_in_plain_words(page: Browser, address: str, asked: str, answer: str) -> None:
    page.send("Page.navigate", url="about:blank")
    page.send("Page.navigate", url=f"{address}lineage{asked}")
    assert answer in page.until(f"document.title === 'Sluice lineage' && {NOTICE}")


# --- what the gates of a run found


def test_a_past_leads_to_the_gates_of_its_run(page: Browser, address: str) -> None:
    page.send("Page.navigate", url=f"{address}lineage?chunk={PASSAGES[1].chunk_id}")
    page.until("document.querySelectorAll('#steps > li').length === 7")
    page.js("[...document.querySelectorAll('#steps a')].find(link => link.textContent.startsWith('All')).click()")
    said = page.until("document.title === 'Sluice gates' && document.querySelector('tbody') && document.body.innerText")
    for piece in (
        "replay",
        "Checks: 1 failed, 1 warning, 1 passed",
        "keeps rows out",
        "7 of 1,200",
        "Rows that failed a check: 3",
    ):
        assert piece in said
    order = page.js(
        "[...document.querySelectorAll('#steps > li:nth-child(2) tbody tr')].map(row => row.cells[0].innerText)"
    )
    assert order == [
        "text within the length limit: ✕ failed",
        "personal data: ▲ warning",
        "not empty: ✓ passed",
    ], "failures and warnings come first"
    rows = "[...document.querySelectorAll('#steps > li:nth-child(3) tbody tr')].map(row => row.innerText)"
    assert len(page.js(rows)) == 2
    page.js("document.querySelector('button.more').click()")
    page.until("!document.querySelector('button.more')")
    assert page.js(rows)[2].split("\t") == ["letters/002.md", "2", "no personal data", "2 email"]
    assert HOSTILE in page.js(rows)[1] and HOSTILE in said
    assert page.js("document.querySelectorAll('#steps img, #steps script').length") == 0
    assert page.js("document.title") == "Sluice gates"
    assert page.js("[...document.querySelectorAll('#steps a')].map(link => link.getAttribute('href'))") == [
        "/dags/sluice_ingest/runs/manual__1%20%26%20more"
    ]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [("", "No run was named"), (f"?run={PAST.document_id}", "Not found"), ("?run=x", "cannot be searched")],
)
def test_gates_that_cannot_be_shown_in_plain_words(page: Browser, address: str, asked: str, answer: str) -> None:
    page.send("Page.navigate", url="about:blank")
    page.send("Page.navigate", url=f"{address}gates{asked}")
    assert answer in page.until(f"document.title === 'Sluice gates' && {NOTICE}")


# --- the API's page


def test_the_search_page_leads_to_the_api_and_a_route_can_be_tried(page: Browser, shelf: Shelf, address: str) -> None:
    page.open(address)
    page.js("[...document.querySelectorAll('header a')].find(link => link.textContent === 'API').click()")
    page.until("document.title === 'Sluice API' && document.querySelectorAll('details.operation').length > 15")
    page.js("[...document.querySelectorAll('summary')].find(each => each.innerText.includes('/search')).click()")
    said = page.until(
        "document.querySelector('details[open] form') && document.querySelector('details[open]').innerText"
    )
    for piece in ("min_score", "number, 0 to 1 or null", "nothing_relevant", "422 Unprocessable", "Try it"):
        assert piece in said
    page.js("document.querySelector('details[open] form').requestSubmit()")
    answer = page.until("document.querySelector('details[open] .answer pre + p + pre') && "
                        "document.querySelector('details[open] .answer').innerText")  # fmt: skip
    assert answer.startswith("200") and '"nothing_relevant": false' in answer and HOSTILE.split('"')[0] in answer
    assert f"curl -sS -X POST '{address}api/v1/search'" in answer
    assert (shelf.asked[-1].collection, shelf.asked[-1].top_k) == ("demo", 3)
    assert page.js("document.querySelectorAll('main img, main script').length") == 0


def test_what_changes_data_is_not_sent_by_accident(page: Browser, shelf: Shelf, address: str) -> None:
    page.send("Page.navigate", url=f"{address}api/v1/docs")
    page.until("document.querySelectorAll('details.operation').length > 15")
    page.js("[...document.querySelectorAll('summary')].find(each => each.innerText.includes('DELETE')).click()")
    page.until("document.querySelector('details[open] form')")
    page.js("document.querySelector('details[open] form [name=collection]').value = 'handbook'")
    page.js("document.querySelector('details[open] form').requestSubmit()")
    assert page.js("document.querySelector('details[open] .answer').innerText") == ""
