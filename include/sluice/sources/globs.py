"""Include and exclude globs over external ids.

`*.md` has no slash and matches the last part of any path. `docs/*.md` matches the whole path; `*` and `?` stop at a
slash, `**` crosses slashes. `drafts/` matches everything below that folder. `*.zip!/` matches all members of such a
zip: only files named `.zip` that an include glob names in this way are opened. A folder named `wow!` is not a zip:
`wow!/a.md` matches literally.

The matcher follows all possible matches at once (Thompson 1968). Its time grows with the length of the name, never with
the number of possible matches. This bounds the cost of hostile names and globs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from sluice.errors import BadRequest
from sluice.model.scan import MEMBER

_PART = re.compile(r"\*\*/|\*\*|\*|\?|\[!?[^/\]]{1,100}\]|.", re.DOTALL)  # bounded, against long rows of brackets
_ZIP = ".zip"
_MEMBER = re.compile(rf"(?<=\{_ZIP}){MEMBER}", re.ASCII | re.IGNORECASE)
_GLOB_OF_MEMBERS = re.compile(rf"(?<=\{_ZIP}){MEMBER}|(?<=[*?\]]){MEMBER}", re.ASCII | re.IGNORECASE)
_ESCAPED = "%21/"  # replaces `!/` in names of files and folders
_FOLDERS, _DEEP, _STAR = "**/", "**", "*"
_MAX_MOVES = 4096  # moves between states that one matcher caches


class Globs:
    """Selects the documents that a source lists. Without include globs, all that are not excluded.

    The constructor raises BadRequest for an invalid glob.
    """

    def __init__(self, include: Iterable[str] | None = (), exclude: Iterable[str] | None = ()) -> None:
        include = tuple(include or ())
        self._include = _any_of(include)
        self._exclude = _any_of(exclude or ())
        self._archives = _any_of(container for glob in include for container in _containers(glob))
        # An include glob with a hidden part includes hidden files.
        self.hidden = any(part.startswith(".") for glob in include for part in glob.split("/"))

    def admit(self, path: str) -> bool:
        """Returns whether the globs select the file `path`, relative to the source."""
        if self._exclude and self._exclude.matches(path):
            return False
        return self._include is None or self._include.matches(path)

    def opens(self, path: str) -> bool:
        """Returns True if an include glob names members of the zip `path` and the zip is not excluded itself."""
        if self._archives is None or path[-len(_ZIP) :].lower() != _ZIP or not self._archives.matches(path):
            return False
        return self._exclude is None or not self._exclude.matches(path)

    def prune(self, folder: str) -> bool:
        """Returns True if nothing below `folder` can be listed, so that the folder need not be read."""
        return self._exclude is not None and (self._exclude.matches(folder) or self._exclude.matches(folder + "/"))

    def printed(self, path: str) -> str:
        """Returns the external id of the file `path`. If zips are opened, it never looks like the id of a member."""
        return path if self._archives is None else _MEMBER.sub(_ESCAPED, path)


def divided(external_id: str) -> tuple[str, str]:
    """Splits an external id into the zip's external id and the member's name. The name is empty if it is not a member's
    id."""
    container, *member = _MEMBER.split(external_id, maxsplit=1)
    return container, "".join(member)


class _State(dict[str, "_State"]):
    """A set of positions in the globs. The dictionary caches the next state by character."""

    __slots__ = ("accepts", "matcher", "positions")

    def __init__(self, matcher: _Matcher, positions: int) -> None:
        self.matcher, self.positions = matcher, positions  # a bit set
        self.accepts = bool(positions & matcher.accepting)

    def __missing__(self, char: str) -> _State:
        return self.matcher.move(self, char)


class _Matcher:
    """A nondeterministic automaton over all globs. Position i means "before step i"."""

    def __init__(self, globs: Iterable[str]) -> None:
        self._take: list[Callable[[str], bool]] = []  # by position: matches a character that leads to the next position
        self._stay: list[Callable[[str], bool]] = []  # … that stays at the position
        self._skip: list[int] = []  # … how many positions can be skipped without a character
        start = self.accepting = 0
        for glob in globs:
            start |= 1 << len(self._take)
            for step in _steps(glob):
                self._add(step)
            self.accepting |= 1 << len(self._take)
            self._put(take=_nothing)
        self._states: dict[int, _State] = {}
        self._moves = 0
        self._start = _State(self, self._reached(start))

    def matches(self, text: str) -> bool:
        state = self._start
        for char in text:
            state = state[char]
        return state.accepts

    def move(self, state: _State, char: str) -> _State:
        after = 0
        for position in _bits(state.positions):
            if self._take[position](char):
                after |= 2 << position
            if self._stay[position](char):
                after |= 1 << position
        after = self._reached(after)
        self._forget()
        target = self._states.setdefault(after, _State(self, after))
        state[char] = target
        return target

    def _forget(self) -> None:
        """Bounds the memory: hostile names reach new states all the time."""
        self._moves += 1
        if self._moves > _MAX_MOVES:
            for state in (self._start, *self._states.values()):
                state.clear()
            self._states.clear()
            self._moves = 0

    def _add(self, step: str) -> None:
        if step == _FOLDERS:  # an empty text, or a path that ends with a slash
            self._put(take=_nothing, skip=2)
            self._put(take="/".__eq__, stay=_anything)
        elif step in (_DEEP, _STAR):
            self._put(take=_nothing, stay=_anything if step == _DEEP else "/".__ne__, skip=1)
        else:
            self._put(take=_one(step))

    def _put(self, take: Callable[[str], bool], stay: Callable[[str], bool] | None = None, skip: int = 0) -> None:
        self._take.append(take)
        self._stay.append(stay or _nothing)
        self._skip.append(skip)

    def _reached(self, state: int) -> int:
        """Adds all positions that need no further character. Skips only lead forward, so one pass is enough."""
        done = 0
        while state & ~done:
            position = ((state & ~done) & -(state & ~done)).bit_length() - 1
            done |= 1 << position
            for further in range(1, self._skip[position] + 1):
                state |= 1 << (position + further)
        return state


def _bits(state: int) -> Iterator[int]:
    while state:
        lowest = state & -state
        yield lowest.bit_length() - 1
        state ^= lowest


def _any_of(globs: Iterable[str]) -> _Matcher | None:
    wanted = [glob for glob in globs if glob]
    return _Matcher(wanted) if wanted else None


def _containers(glob: str) -> Iterator[str]:
    """Yields the parts before each `!/`, anchored at the source's root if the whole glob is."""
    anchored = "/" in glob.rstrip("/") and not glob.startswith("/")
    for end in _GLOB_OF_MEMBERS.finditer(glob):
        yield ("/" if anchored else "") + glob[: end.start()]


def _steps(glob: str) -> Iterator[str]:
    if "/" not in glob.rstrip("/"):
        yield _FOLDERS  # it may be in any folder
    glob = glob.removeprefix("/")
    yield from _PART.findall(glob + _DEEP if glob.endswith("/") else glob)


def _one(step: str) -> Callable[[str], bool]:
    """Returns a check for one character, or for a set of characters. Raises BadRequest."""
    if step == "[":
        raise BadRequest("A glob has '[' without ']'. Close the set of characters, or write [[] for the bracket.")
    if step == "?":
        return "/".__ne__
    if len(step) == 1:
        return step.__eq__
    body = step[1:-1].removeprefix("!")
    pattern = f"[{re.escape(body).replace(chr(92) + '-', '-')}]"
    try:
        return partial(_in_set, re.compile(pattern), step[1] != "!")
    except re.error as error:
        raise BadRequest(f"{step!r} in a glob is not a valid set of characters ({error.msg}). Correct it.") from None


def _in_set(chars: re.Pattern[str], wanted: bool, char: str) -> bool:
    return (chars.match(char) is not None) == wanted


def _anything(char: str) -> bool:
    return True


def _nothing(char: str) -> bool:
    return False
