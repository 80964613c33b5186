"""The port Blobs in memory."""

from __future__ import annotations

from sluice.adapters.blobs import relative_parts
from sluice.errors import NotFound


class MemoryBlobs:
    """`objects`, by path, may be looked at."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def write(self, path: str, content: bytes) -> str:
        self.objects[_key(path)] = bytes(content)
        return self.uri(path)

    def read(self, path: str) -> bytes:
        try:
            return self.objects[_key(path)]
        except KeyError as error:
            raise NotFound(f"There is no {self.uri(path)}. Run the step that writes it again.") from error

    def remove(self, prefix: str) -> None:
        key = _key(prefix)
        for path in [each for each in self.objects if each == key or each.startswith(key + "/")]:
            del self.objects[path]

    def list(self, prefix: str) -> list[str]:
        key = _key(prefix)
        return sorted(path for path in self.objects if path.startswith(key + "/"))

    def uri(self, path: str) -> str:
        return f"memory:/{_key(path)}"


def _key(path: str) -> str:
    return "/".join(relative_parts(path))
