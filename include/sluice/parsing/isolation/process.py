"""Controls one worker process: starts it on demand, gives it one document at a time, and kills it if necessary."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sluice
from sluice.errors import Terminal, Unavailable
from sluice.parsing.isolation import frames
from sluice.parsing.ocr import required_folder
from sluice.processes import END_TIMEOUT_S, reap

_START_TIMEOUT_S = 60.0  # it loads a library of 80 MB; enough for a busy machine and a cold disk
_CHUNK_BYTES = 1 << 20
_MAX_NAME_CHARS = 300
_PROGRAM = ("-m", "sluice.parsing.isolation.worker")
_NO_MEMORY = (b"memory allocation of", b"MemoryError", b"bad_alloc", b"Cannot allocate memory", b"failed to allocate")


@dataclass(frozen=True, slots=True)
class Limits:
    timeout_s: float
    memory_mb: int
    max_text_chars: int
    ocr_languages: str = ""  # "": no OCR


@dataclass(frozen=True, slots=True)
class Answer:
    """The worker's answer. `failure` is a code of `reasons.py`, or None if `header` and `body` hold the result."""

    header: dict[str, Any]
    body: bytes = b""
    failure: str | None = None


class Worker:
    """One worker process. Not thread-safe."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = ""
        self._served = 0

    @property
    def pid(self) -> int | None:
        """Returns the process id; None where no process runs."""
        return self._process.pid if self._process else None

    def ask(self, content: bytes, mime: str, name: str = "") -> Answer:
        """Parses one document. If a worker that has served other documents dies, the document is tried again in a new
        worker.

        Raises Unavailable if no worker starts, Terminal if the installation lacks a module.
        """
        used = self._served > 0
        answer = self._ask_once(content, mime, name)
        if used and answer.failure in ("crashed", "out_of_memory"):
            answer = self._ask_once(content, mime, name)
        return answer

    def stop(self) -> None:
        """Kills the process and everything that it started; returns when they are gone."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            reap(process)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""

    def _ask_once(self, content: bytes, mime: str, name: str) -> Answer:
        process = self._process or self._start()
        self._served += 1
        deadline = time.monotonic() + self._limits.timeout_s
        request = frames.pack(
            {"mime": mime, "name": name[-_MAX_NAME_CHARS:], "timeout_s": self._limits.timeout_s}, content
        )
        try:
            for part in (request, content):
                _write(process, memoryview(part), deadline)
            header, body = _receive(process, deadline, 4 * self._limits.max_text_chars)
        except TimeoutError:
            self.stop()
            return Answer({}, failure="timeout")
        except (OSError, EOFError, ValueError):
            failure = self._cause_of_death(process)
            self.stop()
            return Answer({}, failure=failure)
        if "missing" in header:
            self.stop()
            raise Terminal(
                f"The extraction worker cannot import {header['missing']!r}: the installation is not complete, or not "
                "readable for the user that runs Sluice. No document was quarantined for it. Install Sluice again "
                "(`make install`), then start the run again."
            )
        if header.get("failure") == "out_of_memory" or header.get("resident_mb", 0) > self._limits.memory_mb // 2:
            self.stop()  # memory left behind by a document must not count against the next
        return Answer(header, body, header.get("failure"))

    def _start(self) -> subprocess.Popen[bytes]:
        environment = _environment(self._limits.ocr_languages)
        self._folder = tempfile.mkdtemp(prefix="extract-")
        self._served = 0
        settings = {
            "memory_mb": self._limits.memory_mb,
            "max_text_chars": self._limits.max_text_chars,
            "folder": self._folder,
            "ocr_languages": self._limits.ocr_languages,
            "readable": [
                place
                for name in ("LD_LIBRARY_PATH", "TESSDATA_PREFIX")
                for place in environment.get(name, "").split(os.pathsep)
                if place
            ],
        }
        with open(self._errors, "wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-B", *_PROGRAM, json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                cwd=self._folder,
                env={**environment, "HOME": self._folder, "TMPDIR": self._folder},
                start_new_session=True,
            )
        try:
            _receive(self._process, time.monotonic() + _START_TIMEOUT_S, 0)
        except (OSError, EOFError, ValueError) as error:  # TimeoutError is an OSError
            self.stop()
            raise Unavailable(
                "the extraction worker",
                "its process did not start",
                "Raise SLUICE_EXTRACT_MEMORY_MB where it is small; else install Sluice again (`make install`).",
            ) from error
        return self._process

    @property
    def _errors(self) -> str:
        return os.path.join(self._folder, "stderr")

    def _cause_of_death(self, process: subprocess.Popen[bytes]) -> str:
        """Returns the failure code. The output of a dying parser may hold words of the document: it is searched, never
        shown."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_TIMEOUT_S)
        try:
            printed = Path(self._errors).read_bytes()[-65_536:]
        except OSError:
            printed = b""
        if process.returncode == -signal.SIGXCPU:
            return "timeout"
        return "out_of_memory" if any(sign in printed for sign in _NO_MEMORY) else "crashed"


def _environment(ocr_languages: str) -> dict[str, str]:
    """Returns only the paths of the program and its libraries: no secret, no proxy, no search path of the caller."""
    environment = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    if ocr_languages:
        environment["TESSDATA_PREFIX"] = str(required_folder(ocr_languages))
    return {
        **environment,
        "PATH": "",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(sluice.__file__).resolve().parents[1]),
        "MALLOC_ARENA_MAX": "2",
        "RAYON_NUM_THREADS": "1",
        "TOKIO_WORKER_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _receive(process: subprocess.Popen[bytes], deadline: float, max_body_bytes: int) -> tuple[dict[str, Any], bytes]:
    """Raises TimeoutError, EOFError and OSError (the worker died), ValueError (an invalid answer)."""
    header_bytes, body_bytes = frames.PREFIX.unpack(_read(process, frames.PREFIX.size, deadline))
    if header_bytes > frames.MAX_HEADER_BYTES or body_bytes > max_body_bytes:
        raise ValueError("the answer is longer than allowed")
    header = json.loads(_read(process, header_bytes, deadline))
    if not isinstance(header, dict):
        raise ValueError("the answer is not an object")
    return header, _read(process, body_bytes, deadline)


def _write(process: subprocess.Popen[bytes], data: memoryview, deadline: float) -> None:
    assert process.stdin is not None
    pipe = process.stdin.fileno()
    os.set_blocking(pipe, False)
    while data:
        _wait(pipe, selectors.EVENT_WRITE, deadline)
        with contextlib.suppress(BlockingIOError):
            data = data[os.write(pipe, data[:_CHUNK_BYTES]) :]


def _read(process: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    parts = []
    while size:
        _wait(pipe, selectors.EVENT_READ, deadline)
        part = os.read(pipe, min(size, _CHUNK_BYTES))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _wait(pipe: int, event: int, deadline: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, event)
        if not selector.select(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
