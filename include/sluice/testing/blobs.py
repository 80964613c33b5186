"""The port Blobs in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from sluice.adapters.objects import relative_parts
from sluice.errors import NotFound


class MemoryBlobs:
    """Tests may read and change `objects` and `times`, both by path."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.times: dict[str, datetime] = {}

    def write(self, path: str, content: bytes) -> str:
        self.objects[_key(path)] = bytes(content)
        self.times[_key(path)] = datetime.now(UTC)
        return self.uri(path)

    def read(self, path: str) -> bytes:
        try:
            return self.objects[_key(path)]
        except KeyError as error:
            raise NotFound(f"There is no {self.uri(path)}. Run the step that writes it again.") from error

    def remove(self, prefix: str) -> None:
        key = _key(prefix)
        for path in [each for each in self.objects if each == key or each.startswith(key + "/")]:
            del self.objects[path], self.times[path]

    def list(self, prefix: str) -> list[str]:
        key = _key(prefix)
        return sorted(path for path in self.objects if path.startswith(key + "/"))

    def walk(self, prefix: str) -> Iterator[str]:
        yield from self.list(prefix)

    def modified_at(self, path: str) -> datetime:
        self.read(path)
        return self.times[_key(path)]

    def uri(self, path: str) -> str:
        return f"memory:/{_key(path)}"


def _key(path: str) -> str:
    return "/".join(relative_parts(path))
