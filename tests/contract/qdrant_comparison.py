"""Compares what two Qdrant servers answer to one call."""

import inspect
import json
import re
from collections.abc import Callable
from typing import Any

from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import UnexpectedResponse

TOLERANCE = 1e-5
"""Relative above 1, absolute below: ranks of a fusion with k = 80 differ by ten times as much."""

Call = Callable[[QdrantClient], Any]


def outcome(call: Call, client: QdrantClient) -> tuple[str, Any]:
    """What the call gave: ("ok", plain data) or ("error", (status, text)).

    Positions are left out, and which of several missing points is named: the real server may name any.
    """
    try:
        return "ok", _plain(call(client))
    except UnexpectedResponse as error:
        body = json.loads(error.content)
        text = re.sub(r" at line \d+ column \d+", "", body["status"]["error"])
        return "error", (error.status_code, re.sub(r"(No point with id) \S+", r"\1", text))


def output(call: Call) -> str:
    """The call and its arguments, for messages."""
    values = inspect.getclosurevars(call).nonlocals
    return f"{call.__qualname__} { ({name: value for name, value in values.items() if name != 'self'}) }"


def assert_same(mine: Any, theirs: Any, where: str) -> None:
    """Equal but for floats within the tolerance, operation numbers, and the order of points with equal scores."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        ignored = {"operation_id", "version"}
        assert mine.keys() - ignored == theirs.keys() - ignored, f"{where}: {mine} != {theirs}"
        for key in mine.keys() - ignored:
            assert_same(mine[key], theirs[key], f"{where}.{key}")
    elif isinstance(mine, list) and isinstance(theirs, list):
        assert len(mine) == len(theirs), f"{where}: {mine} != {theirs}"
        if mine and isinstance(mine[0], dict) and {"id", "score"} <= mine[0].keys():
            _assert_same_ranking(mine, theirs, where)
        else:
            for index, (a, b) in enumerate(zip(mine, theirs, strict=True)):
                assert_same(a, b, f"{where}[{index}]")
    elif isinstance(mine, float) or isinstance(theirs, float):
        assert _close(mine, theirs), f"{where}: {mine} != {theirs}"
    else:
        assert mine == theirs, f"{where}: {mine!r} != {theirs!r}"


def _assert_same_ranking(mine: list[Any], theirs: list[Any], where: str) -> None:
    """The same scores from top to bottom, and each point with the same score and contents in both.

    Only of points that tie at the offset or at the limit may each server show others.
    """
    for index, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        assert _close(_rank(a), _rank(b)), f"{where}[{index}]: {a} != {b}"
    ends = (_rank(mine[0]), _rank(mine[-1]))
    here, there = ({str(point["id"]): point for point in points} for points in (mine, theirs))
    for identity in here.keys() | there.keys():
        if identity in here and identity in there:
            assert_same(here[identity], there[identity], f"{where}[{identity}]")
        else:
            alone = here.get(identity) or there[identity]
            assert any(_close(_rank(alone), end) for end in ends), f"{where}: only one server has {alone}"


def _rank(point: dict[str, Any]) -> float:
    value = point.get("order_value")
    return float(point["score"] if value is None else value)


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= TOLERANCE * max(1.0, abs(b))


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    if isinstance(value, dict):
        if "hits" in value and value["hits"] and "count" in value["hits"][0]:
            return sorted((str(hit["value"]), hit["count"]) for hit in value["hits"])
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
