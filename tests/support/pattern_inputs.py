"""Regular expressions of the source tree, and inputs that make each of them work hardest.

`found` lists every use of `re` by walking the syntax trees: nothing is left out silently. `hostile` builds inputs from
a parsed pattern: each way into a repeat, then words over one character of each class that the pattern tells apart, many
times over, then something that does not fit.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]
from typing import Any

Text = str | bytes

_FUNCTIONS = frozenset({"compile", "match", "search", "fullmatch", "split", "sub", "subn", "findall", "finditer"})
_OTHER_WAYS = frozenset({"regex", "fnmatch", "glob", "re2"})
_ALPHABET = "aZ0_ \t\n\r-.,:;<>/\\\"'#=*&%$@!?()[]{}|~`^+é\u0130\u0301\u2003\u4e00\x00"
_MAX_CLASSES = 9
_MAX_PREFIXES = 8
_MANY = 16  # a repeat of fewer is no repeat
_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)


@dataclass(frozen=True)
class Use:
    """One call of a function of `re`. `pattern` is None where it is not a constant."""

    place: str  # path below the tree, without line: `sluice/parsing/text.py:_HEADING`, or `…:<function>`
    line: int
    function: str
    pattern: Text | None
    at_module_level: bool


def uses(root: Path) -> Iterator[Use]:
    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for scope, top in _scopes(tree):
            for node in ast.walk(scope):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                if _loads(node.func.value, "re") and node.func.attr in _FUNCTIONS:
                    place = f"{path.relative_to(root)}:{_name(scope)}"
                    yield Use(place, node.lineno, node.func.attr, _constant(node), top)


def anchored(root: Path, module_path: str, name: str) -> bool:
    """Whether a pattern is only ever tried at one place of a text: each use of its name calls match or fullmatch."""
    result = 0
    for path in [root / module_path] if name.startswith("_") else sorted(root.rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        loads = sum(_loads(node, name) for node in nodes)
        calls = sum(
            isinstance(node, ast.Attribute) and node.attr in ("match", "fullmatch") and _loads(node.value, name)
            for node in nodes
        )
        if calls != loads:
            return False
        result += calls
    return result > 0


def _loads(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)


def imported_otherwise(root: Path) -> Iterator[str]:
    """Modules that come to regular expressions by another way, which `uses` does not see."""
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [(each.name, each.asname) for each in getattr(node, "names", ()) if isinstance(each, ast.alias)]
            if isinstance(node, ast.ImportFrom):
                names = [(node.module or "", None)] if node.module != "re" else [("re", "its functions")]
            if any(name in _OTHER_WAYS or (name == "re" and renamed) for name, renamed in names):
                yield f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}"


def compiled(root: Path, module_path: str) -> list[re.Pattern[Any]]:
    """All patterns that a module's names hold, also inside of containers."""
    parts = module_path.removesuffix(".py").removesuffix("/__init__").split("/")
    module = importlib.import_module(".".join(parts))
    return list(_patterns(vars(module).values(), 4))


def _patterns(values: Any, depth: int) -> Iterator[re.Pattern[Any]]:
    for value in values:
        if isinstance(value, re.Pattern):
            yield value
        elif depth and isinstance(value, dict):
            yield from _patterns(value.values(), depth - 1)
        elif depth and isinstance(value, list | tuple | set | frozenset):
            yield from _patterns(value, depth - 1)


def _scopes(tree: ast.Module) -> Iterator[tuple[ast.AST, bool]]:
    for node in tree.body:
        yield node, not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def _name(scope: ast.AST) -> str:
    if isinstance(scope, ast.Assign) and isinstance(scope.targets[0], ast.Name):
        return scope.targets[0].id
    if isinstance(scope, ast.AnnAssign) and isinstance(scope.target, ast.Name):
        return scope.target.id
    return getattr(scope, "name", f"line {getattr(scope, 'lineno', 0)}")


def _constant(call: ast.Call) -> Text | None:
    try:
        value = ast.literal_eval(call.args[0])
    except (ValueError, IndexError):
        return None
    return value if isinstance(value, str | bytes) else None


# --- inputs -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hostile:
    """`prefix`, `word` again and again, `tail`."""

    prefix: str
    word: str
    tail: str
    binary: bool

    def text(self, size: int) -> Text:
        """About `size` characters."""
        built = self.prefix + self.word * (size // len(self.word)) + self.tail
        return built.encode("latin-1", "replace") if self.binary else built


def hostile(pattern: re.Pattern[Any], *, pairs: bool = True) -> Iterator[Hostile]:
    """`pairs`: words of two characters, too."""
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    tree = _parser.parse(text, pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else pattern.flags)
    letters = _letters(tree, pattern.flags, isinstance(pattern.pattern, bytes))
    prefixes: list[str] = [""]
    bodies: list[str] = []
    _walk(tree, "", letters, prefixes, bodies)
    if not bodies:
        return
    words = [*letters, *bodies, *prefixes[:8]]
    if pairs:
        words += ["".join(pair) for pair in product(letters, repeat=2)]
        words += [f"{body}{letter}" for body in [*bodies[:4], *prefixes[:4]] for letter in letters]
    for prefix in list(dict.fromkeys(prefixes))[:_MAX_PREFIXES]:
        for word in dict.fromkeys(filter(None, words)):
            for tail in ("", "\x01"):
                yield Hostile(prefix, word, tail, isinstance(pattern.pattern, bytes))


def _letters(tree: Any, flags: int, binary: bool) -> list[str]:
    """One character of each class that the pattern tells apart; those that fit most places first."""
    singles = list(_singles(tree))
    tests = [_compiler.compile(_sub(tree, [node]), flags & ~re.DEBUG) for node in singles]
    pool = [*dict.fromkeys([*_literals(singles), *_ALPHABET])]
    if binary:
        pool = [each for each in pool if ord(each) < 256]
    classes: dict[tuple[bool, ...], str] = {}
    for letter in pool:
        classes.setdefault(tuple(test.fullmatch(letter) is not None for test in tests), letter)
    ordered = sorted(classes, key=lambda fits: -sum(fits))
    return [classes[fits] for fits in ordered][:_MAX_CLASSES] or ["a"]


def _sub(tree: Any, nodes: Sequence[Any]) -> Any:
    return _parser.SubPattern(tree.state, list(nodes))


def _singles(tree: Any) -> Iterator[Any]:
    """Nodes that match one character."""
    for op, value in tree:
        if op in (_constants.LITERAL, _constants.NOT_LITERAL, _constants.IN, _constants.ANY):
            yield op, value
        for child in _children(op, value):
            yield from _singles(child)


def _literals(singles: Sequence[Any]) -> Iterator[str]:
    for op, value in singles:
        if op in (_constants.LITERAL, _constants.NOT_LITERAL):
            yield chr(value)
        elif op is _constants.IN:
            for kind, what in value:
                if kind is _constants.LITERAL:
                    yield chr(what)
                elif kind is _constants.RANGE:
                    yield from (chr(what[0]), chr(what[1]))


def _children(op: Any, value: Any) -> list[Any]:
    if op in _REPEATS:
        return [value[2]]
    if op is _constants.SUBPATTERN:
        return [value[3]]
    if op is _constants.BRANCH:
        return list(value[1])
    if op in (_constants.ASSERT, _constants.ASSERT_NOT):
        return [value[1]]
    if op is _constants.ATOMIC_GROUP:
        return [value]
    return []


def _walk(tree: Any, before: str, letters: list[str], prefixes: list[str], bodies: list[str]) -> str:
    """Notes what comes before each repeat and samples of what is repeated; returns `before` and a sample of `tree`."""
    for node in tree:
        op, value = node
        if op in _REPEATS:
            low, high, body = value
            sample = _sample(_sub(tree, [*body]), letters)
            if high is _constants.MAXREPEAT or high > _MANY:
                prefixes += [before, before + sample]
                bodies.append(sample)
            _walk(body, before, letters, prefixes, bodies)
            before += sample * max(low, 1)
        elif op is _constants.BRANCH:
            ends = [_walk(branch, before, letters, prefixes, bodies) for branch in value[1]]
            before = ends[0]
        elif op in (_constants.ASSERT, _constants.ASSERT_NOT):
            _walk(value[1], before, letters, prefixes, bodies)
        elif children := _children(op, value):
            before = _walk(children[0], before, letters, prefixes, bodies)
        else:
            before += _sample(_sub(tree, [node]), letters)
    prefixes.append(before)
    return before


def _sample(tree: Any, letters: list[str]) -> str:
    built = ""
    for op, value in tree:
        if op in (_constants.LITERAL,):
            built += chr(value)
        elif op in (_constants.NOT_LITERAL, _constants.IN, _constants.ANY):
            test = _compiler.compile(_sub(tree, [(op, value)]), re.DOTALL)
            built += next((letter for letter in letters if test.fullmatch(letter)), "a")
        elif op in _REPEATS:
            built += _sample(value[2], letters) * max(value[0], 1)
        elif op is _constants.BRANCH:
            built += _sample(value[1][0], letters)
        elif op is _constants.SUBPATTERN:
            built += _sample(value[3], letters)
        elif op is _constants.ATOMIC_GROUP:
            built += _sample(value, letters)
    return built
