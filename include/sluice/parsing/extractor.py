"""Bytes to text: plain text is decoded here, everything else in worker processes (see `isolation/`).

A hostile document can only harm its worker. The worker is killed when a document takes too long, and its limits end it
when a document needs too much memory. That document fails with a reason, and the others continue. Equal bytes give
equal text.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sluice.model.document import FetchedDocument
from sluice.model.reasons import REASONS
from sluice.model.records import RECORD_MIME, parse_record
from sluice.model.text import storable
from sluice.parsing.embedded import without_data_addresses
from sluice.parsing.isolation.process import Limits, Worker
from sluice.parsing.ocr import required_folder
from sluice.parsing.sniffing import DELIMITED, PDF, sniff
from sluice.parsing.text import markdown_title, tidy_title
from sluice.ports.content import Extracted

_WITHOUT_HEADINGS = frozenset(
    {
        "text/plain", "text/csv", "text/tab-separated-values", "text/vtt", "application/x-subrip", "application/json",
        "application/x-ndjson", "application/yaml", "application/toml", "application/xml",
    }
)  # fmt: skip
_CHARSET = re.compile(r";\s{0,9}charset\s{0,9}=\s{0,9}[\"']?([A-Za-z0-9._:-]{2,40})", re.I)


@dataclass(frozen=True, slots=True)
class _Job:
    index: int
    content: bytes
    mime: str
    name: str


class IsolatedExtractor:
    """Implements the Extractor port; a context manager. Workers start on demand and live until `close`.

    workers: number of processes; timeout_s, memory_mb: per document; max_text_chars, max_bytes: of its text and of its
    content. ocr_languages: languages for text in images, as Tesseract names them (`eng+deu`); "" turns OCR off.

    Raises BadRequest if OCR is on and its language data is not installed.
    """

    def __init__(
        self,
        *,
        workers: int,
        timeout_s: float,
        memory_mb: int,
        max_text_chars: int,
        max_bytes: int,
        ocr_languages: str = "",
    ) -> None:
        if ocr_languages:
            required_folder(ocr_languages)
        limits = Limits(timeout_s, memory_mb, max_text_chars, ocr_languages)
        self._workers = [Worker(limits) for _ in range(workers)]
        self._ocr_languages = ocr_languages
        self._max_text_chars = max_text_chars
        self._max_bytes = max_bytes
        self._lock = threading.Lock()

    def __enter__(self) -> IsolatedExtractor:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def extract(self, documents: Sequence[FetchedDocument]) -> list[Extracted]:
        """Returns one result per document, in order. A document without text has a `failure`; no document raises."""
        results: list[Extracted | None] = []
        jobs: deque[_Job] = deque()
        for index, raw in enumerate(documents):
            result_or_job = self._directly(index, raw)
            if isinstance(result_or_job, _Job):
                jobs.append(result_or_job)
                results.append(None)
            else:
                results.append(result_or_job)
        if jobs:
            with self._lock:
                self._serve(jobs, results)
        return [result if result is not None else _failed("crashed") for result in results]

    def close(self) -> None:
        """Ends all worker processes."""
        for worker in self._workers:
            worker.stop()

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the running workers."""
        return tuple(worker.pid for worker in self._workers if worker.pid is not None)

    def _directly(self, index: int, raw: FetchedDocument) -> Extracted | _Job:
        content, name = raw.content, raw.item.entry.external_id
        if len(content) > self._max_bytes:
            return _failed("too_large")
        if raw.mime == RECORD_MIME:
            try:
                return self._finished(parse_record(content).text, "text/plain", raw.title)
            except ValueError:
                return _failed("bad_line")
        if not content:
            return _failed("empty")
        kind = sniff(content, name, _charset(raw.mime))
        if kind.failure == "image" and self._ocr_languages and kind.mime:
            return _Job(index, content, kind.mime, name)
        if kind.failure:
            return _failed(kind.failure, kind.detail)
        if kind.parse:
            if kind.text is None:
                return _Job(index, content, kind.mime, name)
            if kind.mime in DELIMITED and len(kind.text) > self._max_text_chars:
                return _failed("too_long")  # its table would be at least as long
            return _Job(index, kind.text.encode("utf-8"), kind.mime, name) if kind.text.strip() else _failed("empty")
        return self._finished(kind.text or "", kind.mime, None)

    def _serve(self, jobs: deque[_Job], results: list[Extracted | None]) -> None:
        def work(worker: Worker) -> None:
            while True:
                try:
                    job = jobs.popleft()
                except IndexError:
                    return
                results[job.index] = self._by_worker(worker, job)

        workers = self._workers[: len(jobs)]
        with ThreadPoolExecutor(len(workers), thread_name_prefix="extract") as pool:
            for done in [pool.submit(work, worker) for worker in workers]:
                done.result()

    def _by_worker(self, worker: Worker, job: _Job) -> Extracted:
        answer = worker.ask(job.content, job.mime, job.name)
        if answer.failure:
            return _failed(answer.failure if answer.failure in REASONS else "crashed")
        header = answer.header
        text = storable(answer.body.decode("utf-8", "replace"))
        if not text.strip():
            return _failed("no_text" if job.mime == PDF or job.mime.startswith("image/") else "empty")
        return self._finished(
            text,
            str(header.get("mime") or job.mime),
            header.get("title"),
            header.get("metadata"),
            header.get("page_starts"),
        )

    def _finished(
        self,
        text: str,
        mime: str,
        title: str | None,
        metadata: dict[str, Any] | None = None,
        page_starts: Sequence[int] | None = None,
    ) -> Extracted:
        if len(text) > self._max_text_chars:
            return _failed("too_long")
        if not page_starts:  # with pages, the worker has already removed them
            text = without_data_addresses(text)
        if not text or text.isspace():
            return _failed("empty")
        structured = mime not in _WITHOUT_HEADINGS
        title = tidy_title(title) or (markdown_title(text) if structured else None)
        return Extracted(text, mime, title, {"mime": mime, **(metadata or {})}, tuple(page_starts or ()))


def _charset(content_type: str | None) -> str | None:
    """Returns the charset in `text/html; charset=…`."""
    match = _CHARSET.search(content_type or "")
    return match[1] if match else None


def _failed(code: str, detail: str = "") -> Extracted:
    return Extracted(failure=(code, f"{REASONS[code]} {detail}".rstrip()))
