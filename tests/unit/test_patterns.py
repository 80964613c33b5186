"""No regular expression of the source tree takes time by the square of its input, however hostile that is.

Patterns are found by walking the syntax trees; their inputs are made from the patterns themselves (`pattern_inputs`).
"""

from __future__ import annotations

import importlib
import re
import signal
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sluice.parsing import html
from sluice.parsing.text import markdown_title
from sluice.quality import secrets
from sluice.quality.personal_data import _RECOGNISERS, _WINDOW_CHARS, _recogniser
from sluice.sources.globs import Globs
from support.pattern_inputs import Hostile, Use, anchored, compiled, hostile, imported_otherwise, uses

_INCLUDE = Path(__file__).parents[2] / "include"
# Linear patterns take less than a millisecond; what takes longer is tried on four times the text. There a linear one
# takes four times as long, and one by the square sixteen times, on any machine.
_FIRST_CHARS, _SUSPECT_S = 8_000, 0.006
_CHARS, _MOST_TIMES = 32_000, 8
_MOST_S = 1.0  # nothing is tried for longer
# Patterns whose text is bounded before they meet it, in characters.
_BOUNDED = {
    "sluice/quality/personal_data.py:_NOT_A_PHONE": 64,  # what _PHONE found, which is of bounded length
    "sluice/quality/personal_data.py:_COLUMNS": 64,
    "detect-secrets": secrets._WINDOW_CHARS + secrets._LONGEST_CHARS,
    "Presidio": _WINDOW_CHARS + 330,
}
# Only the isolated worker imports these modules, and its time is limited.
_IN_WORKER = ("sluice/parsing/parsing.py", "sluice/parsing/markup.py")
# Uses whose pattern is no constant, and patterns as they are made there.
_MADE = {
    "sluice/chunking/measure.py:_long_words": [re.compile(r"\S{20,}")],
    "sluice/parsing/html.py:_END_OF": [html._END_OF["script"]],
    "sluice/sources/globs.py:_one": [],  # tried on single characters
    "sluice/quality/secrets.py:_patterns": [],  # see `_others`
}


class _TooSlow(Exception):
    pass


def _seconds(pattern: re.Pattern[Any], text: Any, *, at_once: bool, limit_s: float) -> float:
    """CPU time; `limit_s` where it takes longer."""

    def give_up(*_: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGVTALRM, give_up)
    start_s = time.thread_time()  # the process's counts in steps of a tick while its timer is set
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, limit_s)
        if at_once:
            pattern.match(text)
            pattern.fullmatch(text)
        else:
            for _ in pattern.finditer(text):
                pass
    except _TooSlow:
        return limit_s
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return time.thread_time() - start_s


def _slow(pattern: re.Pattern[Any], *, at_once: bool, bound: int = _CHARS, pairs: bool = True) -> Hostile | None:
    """The first text on which it is slow."""
    for each in hostile(pattern, pairs=pairs):
        first_s = _seconds(pattern, each.text(min(_FIRST_CHARS, bound)), at_once=at_once, limit_s=_MOST_S)
        if first_s < _SUSPECT_S:
            continue
        whole_s = _least_s(pattern, each.text(bound), at_once=at_once)
        first_s = _least_s(pattern, each.text(min(_FIRST_CHARS, bound)), at_once=at_once)
        if whole_s >= _MOST_S or whole_s >= _MOST_TIMES * first_s:
            return each
    return None


def _least_s(pattern: re.Pattern[Any], text: Any, *, at_once: bool) -> float:
    """Of three tries: another program of the machine slows down one of them, hardly all."""
    return min(_seconds(pattern, text, at_once=at_once, limit_s=_MOST_S) for _ in range(3))


@cache
def _patterns() -> dict[str, tuple[re.Pattern[Any], bool]]:
    """`place` (numbered where there are several) → pattern, and whether it is only tried at one place of a text."""
    result: dict[str, tuple[re.Pattern[Any], bool]] = {}
    known: set[tuple[Any, int]] = set()
    listed = list(uses(_INCLUDE))
    named = [use for use in listed if use.function == "compile" and use.pattern is not None]

    def add(place: str, pattern: re.Pattern[Any], at_once: bool) -> None:
        key = (pattern.pattern, pattern.flags)
        if key not in known:
            known.add(key)
            result[f"{place} {len(result)}"] = pattern, at_once

    for use in listed:
        if use.function != "compile" and use.pattern is not None:
            add(use.place, re.compile(use.pattern), use.function in ("match", "fullmatch"))
        for pattern in _MADE.get(use.place, ()):
            add(use.place, pattern, False)
    places = {(use.place.partition(":")[0], use.pattern): use.place for use in named}
    for module in sorted({use.place.partition(":")[0] for use in listed}):
        for pattern in compiled(_INCLUDE, module):
            place = places.get((module, pattern.pattern), f"{module}:{_holder(listed, module)}")
            add(place, pattern, anchored(_INCLUDE, module, place.partition(":")[2]))
    return result


def _held(use: Use) -> bool:
    """Whether a name of the module is that pattern, so that it is found there however it was made."""
    module, _, name = use.place.partition(":")
    parts = module.removesuffix(".py").removesuffix("/__init__").split("/")
    return isinstance(getattr(importlib.import_module(".".join(parts)), name, None), re.Pattern)


def _holder(listed: list[Any], module: str) -> str:
    return next(
        (use.place.partition(":")[2] for use in listed if use.place.startswith(f"{module}:") and not use.pattern), "?"
    )


def _others() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Of libraries, on texts of documents outside of the isolated worker."""
    for kind, _, pattern in secrets._patterns():
        yield f"detect-secrets {kind}", pattern
    for kind in _RECOGNISERS:
        for each in _recogniser(kind).patterns:
            yield f"Presidio {kind}", re.compile(each.regex, re.DOTALL | re.MULTILINE | re.IGNORECASE)


def test_every_use_is_known() -> None:
    listed = list(uses(_INCLUDE))
    assert len(listed) > 60
    unknown = {use.place for use in listed if use.pattern is None and not _held(use)} - set(_MADE)
    assert not unknown, "no constant: name in _MADE what these compile"
    assert not list(imported_otherwise(_INCLUDE)), "import re as it is, so that this test sees its uses"
    tried = {(pattern.pattern) for pattern, _ in _patterns().values()}
    missing = {use.place for use in listed if use.pattern is not None and use.pattern not in tried}
    assert not missing, "compiled where no name of the module holds them"


@pytest.mark.parametrize("place", [place for place in _patterns() if not place.startswith(_IN_WORKER)])
def test_no_pattern_is_slow(place: str) -> None:
    pattern, at_once = _patterns()[place]
    assert _slow(pattern, at_once=at_once, bound=_BOUNDED.get(place.rpartition(" ")[0], _CHARS)) is None


def test_no_pattern_of_a_library_is_slow() -> None:
    slow = {}
    for name, pattern in _others():
        if worst := _slow(pattern, at_once=False, bound=_BOUNDED[name.partition(" ")[0]], pairs=False):
            slow[name] = worst
    assert not slow


@pytest.mark.parametrize("bad", [r"^#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$", r"(?:a|a)*b", r"\s+$", r"(?s)<head\b.*?</head>"])
def test_the_inputs_find_what_is_slow(bad: str) -> None:
    assert _slow(re.compile(bad, re.MULTILINE), at_once=False)


@pytest.mark.timeout(20)
def test_known_bad_inputs() -> None:
    start_s = time.process_time()
    assert markdown_title("# a" + " " * 1500 + "b") == "a b"
    assert markdown_title("---\ntitle: " + " " * 15_000) is None
    assert not Globs(["**a**a**a**b/x"]).admit("a" * 300)
    assert not Globs(["*a" * 50 + "/b"]).admit("a" * 2000)
    assert time.process_time() - start_s < 2.0  # of processor time; less than 0.1 s together


def test_what_runs_in_the_worker_is_imported_nowhere_else() -> None:
    pattern = re.compile(r"^ *(?:from|import) sluice\.parsing\.(?:parsing|markup)\b", re.MULTILINE)
    importing = {path.stem for path in (_INCLUDE / "sluice").rglob("*.py") if pattern.search(path.read_text())}
    assert importing <= {"worker", "parsing"}
