"""Include and exclude globs over external ids.

`*.md` has no slash and matches the last part of any path; `docs/*.md` matches the whole path, `*` and `?` stopping at a
slash; `**` crosses slashes. `drafts/` stands for everything below that folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sluice.errors import BadRequest

_PART = re.compile(r"\*\*/|\*\*|\*|\?|\[!?[^/\]]+\]|.", re.DOTALL)
_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


class Globs:
    """What a source lists. No include globs: everything that is not excluded. Raises BadRequest for what is no glob."""

    def __init__(self, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> None:
        include = tuple(include)
        self._include = _any_of(include)
        self._exclude = _any_of(exclude)
        # An include glob that names a hidden part asks for hidden files.
        self.hidden = any(part.startswith(".") for glob in include for part in glob.split("/"))

    def admit(self, path: str) -> bool:
        if self._exclude and self._exclude.match(path):
            return False
        return self._include is None or self._include.match(path) is not None

    def prune(self, folder: str) -> bool:
        """Nothing below `folder` can be listed, so it need not be read."""
        return self._exclude is not None and (
            self._exclude.match(folder) is not None or self._exclude.match(folder + "/") is not None
        )


def _any_of(globs: Iterable[str]) -> re.Pattern[str] | None:
    patterns = [_regex(glob) for glob in globs if glob]
    return re.compile("|".join(f"(?:{pattern})\\Z" for pattern in patterns), re.DOTALL) if patterns else None


def _regex(glob: str) -> str:
    anywhere = "/" not in glob.rstrip("/")
    glob = glob.removeprefix("/")
    body = "".join(_translate(part) for part in _PART.findall(glob + "**" if glob.endswith("/") else glob))
    return f"(?:.*/)?{body}" if anywhere else body


def _translate(part: str) -> str:
    if part == "[":
        raise BadRequest("A glob has a '[' without its ']'. Close the set of characters, or write [[] for the bracket.")
    if part in _WILD:
        return _WILD[part]
    if len(part) > 1:  # a set of characters
        return f"[{'^' if part[1] == '!' else ''}{re.escape(part[1:-1].removeprefix('!')).replace(chr(92) + '-', '-')}]"
    return re.escape(part)
