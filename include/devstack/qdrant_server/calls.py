"""Parts that all calls share: the request, and the engine's errors as answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from devstack.qdrant_server.body import Json, parse
from devstack.qdrant_server.collection import Collection
from devstack.qdrant_server.errors import ApiError, bad_format, from_engine
from devstack.qdrant_server.store import Store

T = TypeVar("T")


class Text(str):
    """An answer that is sent as it is, without the envelope."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the names in its path, its query string, its body."""

    store: Store
    names: list[str]
    query: dict[str, str]
    raw: bytes = field(repr=False)

    @property
    def body(self) -> Any:
        """The body's JSON."""
        return parse(self.raw)

    @property
    def collection(self) -> Collection:
        """The collection in the path, by its name or an alias."""
        return self.store.get(self.names[0])

    @property
    def wait(self) -> bool:
        """True if the caller asked for `completed`; every write here is complete when it is answered."""
        value = self.query.get("wait", "false")
        if value not in ("true", "false"):
            raise ApiError(400, "Deserialize error in query parameters: provided string was not `true` or `false`")
        return value == "true"


Handler = Callable[[Call], Awaitable[Any]]


def done(number: int, wait: bool) -> Json:
    """The answer to a write. The write is complete in either case; the status is the one that the caller asked for."""
    return {"operation_id": number, "status": "completed" if wait else "acknowledged"}


def engine(run: Callable[[], T]) -> T:
    """The result of `run`. An error of the engine becomes the ApiError that a real server would answer."""
    try:
        return run()
    except ApiError:
        raise
    except (TypeError, OverflowError) as error:
        raise bad_format(str(error).splitlines()[0]) from None
    except Exception as error:
        raise from_engine(error) from None
