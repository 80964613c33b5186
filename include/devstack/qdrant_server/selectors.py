"""The parts of a point that an answer shows: `with_payload` and `with_vector`."""

from dataclasses import dataclass
from typing import Any

import qdrant_edge as edge

from devstack.qdrant_server.body import Json, strings
from devstack.qdrant_server.errors import bad_format


@dataclass(frozen=True, slots=True)
class Shown:
    """The engine's selectors, and whether they select anything."""

    payload: Any
    vector: Any

    @property
    def any_payload(self) -> bool:
        """True if an answer has a `payload` field."""
        return self.payload is not False

    @property
    def any_vector(self) -> bool:
        """True if an answer has a `vector` field."""
        return self.vector is not False


def to_shown(body: Json, payload_default: bool) -> Shown:
    """The selectors of a request; `payload_default` applies if `with_payload` is absent."""
    return Shown(_payload(body.get("with_payload"), payload_default), _vector(body))


def _payload(value: Any, default: bool) -> Any:
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        return edge.PayloadSelector.Include(strings(value))
    if isinstance(value, dict) and len(value) == 1:
        if "include" in value:
            return edge.PayloadSelector.Include(strings(value["include"]))
        if "exclude" in value:
            return edge.PayloadSelector.Exclude(strings(value["exclude"]))
    raise bad_format("data did not match any variant of untagged enum WithPayloadInterface")


def _vector(body: Json) -> Any:
    value = body.get("with_vector", body.get("with_vectors"))
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        return strings(value)
    raise bad_format("data did not match any variant of untagged enum WithVector")
