"""A test without an assertion passes whatever the code does."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
_ASSERTING = ("assert_", "check_", "expect")
_RAISING = {"raises", "warns", "fail", "RaisesGroup"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def definitions(tree: ast.AST) -> dict[str, list[Function]]:
    """Functions and methods by their names, and the methods of each class by the class's: some are run by it."""
    result: dict[str, list[Function]] = {}
    for each in functions(tree):
        result.setdefault(each.name, []).append(each)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            result.setdefault(node.name, []).extend(functions(node))
    return result


def called(function: Function) -> set[str]:
    """What the function calls, and classes that it names."""
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    names = {each.id for each in calls if isinstance(each, ast.Name)}
    names |= {each.attr for each in calls if isinstance(each, ast.Attribute)}
    return names | {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and node.id[0].isupper()}


def asserts(function: Function, resolve: Callable[[str], list[Function]], seen: set[Function]) -> bool:
    if function in seen:
        return False
    seen.add(function)
    names = called(function)
    if names & _RAISING or any(name.startswith(_ASSERTING) for name in names):
        return True
    if any(isinstance(node, ast.Assert) for node in ast.walk(function)):
        return True
    return any(asserts(helper, resolve, seen) for name in sorted(names) for helper in resolve(name))


def without_assertion(trees: dict[str, ast.Module]) -> list[str]:
    """Tests that assert nothing, neither themselves nor in a helper of their file or of a module of helpers."""
    defined = {name: definitions(tree) for name, tree in trees.items()}
    shared: dict[str, list[Function]] = {}
    for name, known in defined.items():
        if not is_test_file(name):
            for each, result in known.items():
                shared.setdefault(each, []).extend(result)
    return [
        f"{name}:{each.lineno} {each.name}"
        for name, tree in trees.items()
        if is_test_file(name)
        for each in functions(tree)
        if each.name.startswith("test_") and not asserts(each, partial(resolved, defined[name], shared), set())
    ]


def resolved(own: dict[str, list[Function]], shared: dict[str, list[Function]], called: str) -> list[Function]:
    return own.get(called) or shared.get(called, [])


def is_test_file(name: str) -> bool:
    return Path(name).name.startswith("test_")


def test_every_test_asserts() -> None:
    trees = {str(path.relative_to(TESTS)): ast.parse(path.read_text("utf-8")) for path in sorted(TESTS.rglob("*.py"))}
    assert len(trees) > 100
    assert without_assertion(trees) == []


def test_a_test_without_an_assertion_is_named() -> None:
    source = """
def helper(x): inner(x)
def inner(x): assert x
def quiet(x): return x
class Machine:
    def rule(self): assert self
def test_itself(): assert 1
def test_by_helper(): helper(1)
def test_by_machine(): run(Machine)
def test_error():
    with pytest.raises(ValueError): quiet(1)
def test_nothing(): quiet(1)
"""
    assert without_assertion({"test_x.py": ast.parse(source)}) == ["test_x.py:12 test_nothing"]
