"""What a release promised, as JSON below tests/fixtures/releases/<version>/, and what of it is broken now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "fixtures" / "releases"


def read(version: str, what: str) -> Any:
    return json.loads((FOLDER / version / f"{what}.json").read_text())


def write(version: str, what: str, value: Any) -> Path:
    """One line for each part of the first two levels, so that a change can be read as a difference."""
    target = FOLDER / version / f"{what}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_lines(value, 2) + "\n", encoding="utf-8")
    return target


def versions(what: str) -> list[str]:
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{what}.json"))


def broken(recorded: Any, now: Any, where: str = "") -> list[str]:
    """What is gone or another than recorded, by its path. More keys and more elements are allowed; the order of a list
    does not count."""
    return list(_broken(recorded, now, where))


def _broken(recorded: Any, now: Any, where: str) -> Iterator[str]:
    if isinstance(recorded, dict) and isinstance(now, dict):
        for key, value in recorded.items():
            if key not in now:
                yield f"{where}/{key} is gone"
            else:
                yield from _broken(value, now[key], f"{where}/{key}")
    elif isinstance(recorded, list) and isinstance(now, list):
        for each in recorded:
            if all(broken(each, other) for other in now):
                yield f"{where} has no {json.dumps(each)} any more, but {json.dumps(now)}"
    elif type(recorded) is not type(now) or recorded != now:
        yield f"{where} was {json.dumps(recorded)} and is {json.dumps(now)}"


def _lines(value: Any, levels: int, indent: str = "") -> str:
    if levels == 0 or not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    inner = indent + " "
    parts = [f"{inner}{json.dumps(key)}: {_lines(value[key], levels - 1, inner)}" for key in sorted(value)]
    return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
