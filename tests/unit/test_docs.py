"""The papers hold what they promise: links lead somewhere, commands and variables exist, decisions are complete."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from sluice.pipeline import stages
from sluice.wiring.application import Sluice
from unit.compose_files import ROOT, env_example

SKIPPED = {".venv", ".sluice", ".git", "node_modules"}
MUST_EXIST = (
    *("README.md", "LICENSE", "NOTICE", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "CHANGELOG.md"),
    *("Makefile", ".env.example", ".editorconfig", ".pre-commit-config.yaml", ".devcontainer/devcontainer.json"),
    *("docs/architecture.md", "docs/glossary.md", "docs/decisions/README.md"),
)
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))

LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
# A file in backticks with its folder; `<…>` and `*` stand for something else.
MODULE = re.compile(
    r"`((?:include|sluice|devstack|sources|tests|bench|deploy|docs|dags|migrations)/[\w./-]*)(?:::\w+)?`"
)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)


def _pages() -> list[Path]:
    result = [path for path in ROOT.rglob("*.md") if not {*path.relative_to(ROOT).parts} & SKIPPED]
    return sorted(path for path in result if not any(part.startswith(".") for part in path.relative_to(ROOT).parts))


PAGES = _pages()


def _id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def _anchors(page: Path) -> set[str]:
    """The names that a page's headings can be linked by, as code hosts make them."""
    anchors: set[str] = set()
    for title in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", _prose(page), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").replace("*", "")
        name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        copies = (name, *(f"{name}-{number}" for number in range(1, 20)))
        anchors.add(next(copy for copy in copies if copy not in anchors))
    return anchors


@pytest.mark.parametrize("name", MUST_EXIST)
def test_the_papers_are_there(name: str) -> None:
    assert (ROOT / name).is_file()


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(_prose(page)):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / unquote(path)).resolve() if path else page
        assert file.exists(), f"{target} leads nowhere"
        assert file.is_relative_to(ROOT), f"{target} leads out of the project"
        if anchor and file.suffix == ".md":
            assert anchor in _anchors(file), f"{target}: no such heading"


def test_the_link_finder_finds_links() -> None:
    text = 'see [a](b.md), ![p](img/x.png "title"), [c](<d.md#e>) and `[f]` (g)'
    assert LINK.findall(text) == ["b.md", "img/x.png", "d.md#e"]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=_id)
def test_files_that_are_named_exist(page: Path) -> None:
    """A module that was moved or became a package makes what is said of it stale."""
    for name in MODULE.findall(_prose(page)):
        places = [place / name for place in (ROOT, ROOT / "include", ROOT / "include" / "sluice")]
        assert any(place.exists() for place in places), f"there is no {name}"


def test_the_file_finder_finds_files() -> None:
    text = "`sluice/quality.py`, `sources/roots.py::canonical`, `limits.py`, `runs/<run>/x.py` and `tests/unit/`"
    assert MODULE.findall(text) == ["sluice/quality.py", "sources/roots.py", "tests/unit/"]


# --- decisions


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{number:04d}" for number in range(1, len(DECISIONS) + 1)]
    assert len(DECISIONS) >= 12


@pytest.mark.parametrize("path", DECISIONS, ids=_id)
def test_decisions_are_complete_and_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name)
    assert text.startswith(f"# {int(path.name[:4])}. ")
    assert re.findall(r"^## (.+)$", text, re.M) == ["Context", "Decision", "Consequence"]
    assert all(len(part.split()) >= 20 for part in re.split(r"^## .+$", text, flags=re.M)[1:])
    assert len(text.split()) <= 350, "a decision is one short page"


def test_the_index_of_decisions_is_what_the_generator_writes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("decisions_index", ROOT / "docs" / "decisions_index.py")
    assert spec and spec.loader
    index = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(index)
    assert index.decisions() == DECISIONS
    written = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert written == index.render(), "Write it again: make docs"
    (tmp_path / "0007-other.md").write_text("# 8. Other\n")
    with pytest.raises(ValueError, match=r"0007-other\.md"):
        index.render(tmp_path)


def test_decisions_that_the_project_cites_exist() -> None:
    cited = {
        (number, _id(path))
        for path in (*PAGES, ROOT / "Dockerfile", ROOT / "docker-compose.yml", ROOT / "requirements.in")
        for number in re.findall(r"decisions/(\d{4})", path.read_text(encoding="utf-8"))
    }
    assert cited
    known = {path.name[:4] for path in DECISIONS}
    assert {each for each in cited if each[0] not in known} == set()


# --- commands and variables


def _targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return {name for names in re.findall(r"^([a-z][a-z _-]*):(?!=)", makefile, re.M) for name in names.split()}


def _commands(page: Path) -> Iterator[str]:
    """Lines of code blocks, and code within lines: where `make` is a command and not a word."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```(?:sh|bash|console|shell)?\n(.*?)^```", text, re.M | re.S):
        yield from (line.strip().removeprefix("$ ") for line in block.splitlines())
    yield from re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_make_targets_exist(page: Path) -> None:
    for command in _commands(page):
        for words in re.findall(r"(?:^|&& |; )make((?: [A-Za-z_]+=\S+| [a-z-]+)*)", command):
            named = {word for word in words.split() if "=" not in word}
            assert named <= _targets(), f"`{command}`: the Makefile has no such target"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_the_main_targets_are_told(name: str) -> None:
    said = " ".join(_commands(ROOT / name))
    assert {target for target in ("demo", "test", "down") if f"make {target}" not in said} == set()


def test_every_target_has_a_help_line() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.M)
    assert phony
    assert {name for name in phony[1].split() if not re.search(rf"^{name}:.*## \S", makefile, re.M)} == set()


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_variables_exist(page: Path) -> None:
    known = env_example().known_names()
    mentioned = set(re.findall(r"\bSLUICE_[A-Z0-9_]*[A-Z0-9]\b(?!_?\*)", page.read_text(encoding="utf-8")))
    # SLUICE_X stands for any.
    unknown = {name for name in mentioned if name not in known and name not in ("SLUICE_X", "SLUICE_X_FILE")}
    assert unknown == set()


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=_id)
def test_commands_of_the_program_exist_with_their_options(page: Path) -> None:
    from typer.main import get_command

    from sluice.cli import app

    program = get_command(app)
    for command in _commands(page):
        for words in re.findall(r"(?:^|/| )sluice ((?:[a-z]+ ?)(?:[^`|;&#]*))", command):
            result: Any = program
            said = words.split()
            while said and hasattr(result, "commands"):
                if not re.fullmatch(r"[a-z]+", said[0]):
                    break  # a placeholder, or the rest is left out
                result = result.commands.get(said.pop(0))
                assert result is not None, f"`{command}`: there is no such command"
            known = {name for each in result.params for name in (*each.opts, *each.secondary_opts)}
            asked = {word.split("=")[0] for word in said if re.fullmatch(r"--[a-z][a-z-]*(?:=.*)?", word)}
            assert asked - {"--help"} <= known, f"`{command}`: it takes {sorted(known)}"


def _routes(page: Path) -> Iterator[tuple[str | None, str]]:
    """(method, where it is told; path below the address of the page) of routes that are named; `…` ends a path."""
    for code in _commands(page):
        for method, path in re.findall(r"(?:\b(GET|POST|PUT|PATCH|DELETE) |\$SLUICE_AIRFLOW_URL)(/[^\s`'\",|]*)", code):
            path = re.split(r"[?…]", path)[0].rstrip("/.")
            if path.startswith("/sluice/api/") or not path.startswith(("/sluice", "/api/", "/auth/")):
                yield method or None, path.removeprefix("/sluice").removeprefix("/api/v1")


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_routes_exist(page: Path) -> None:
    from sluice.api.app import create_app

    output = list(_routes(page))
    if not output:
        return

    async def nobody(request: object) -> None:
        return None

    def never() -> Sluice:
        raise AssertionError("the schema needs no stores")

    paths = create_app(never, nobody).openapi()["paths"]
    known = {
        (method.upper(), re.sub(r"{\w+}", "{}", path.removeprefix("/api/v1")))
        for path, methods in paths.items()
        for method in methods
    }
    for method, path in output:
        shape = re.sub(r"{\w+}", "{}", path)
        assert (method, shape) in known if method else shape in {each for _, each in known}, f"{method} {path}"


def test_the_route_finder_finds_routes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`GET /sluice/api/v1/access`, `DELETE /sources?uri=…`, `POST /search`; `GET /api/v1/lineage` is Marquez's"
    )
    assert list(_routes(page)) == [("GET", "/access"), ("DELETE", "/sources"), ("POST", "/search")]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=_id)
def test_names_of_dags_connections_roles_and_facets_exist(page: Path) -> None:
    """`sluice_…` in backticks or a block is a name that the code, or Airflow's settings file, has."""
    named = {name for code in _commands(page) for name in re.findall(r"(?<![\w/.-])sluice_[a-z_]+(?![\w(.*])", code)}
    assert {name for name in named if name not in _code()} == set()


@cache
def _code() -> str:
    places = [path for folder in ("include", "dags", "plugins") for path in sorted((ROOT / folder).rglob("*.py"))]
    return "\n".join(path.read_text(encoding="utf-8") for path in (*places, ROOT / "airflow_settings.yaml"))


# --- data


def test_the_page_on_data_protection_names_every_table() -> None:
    """Whoever adds a table says what is in it, whether it can be read, for how long, and what removes it."""
    from sluice.adapters.postgres.tables.base import KeysBase, LedgerBase

    page = (ROOT / "docs" / "data-protection.md").read_text(encoding="utf-8")
    tables = {*LedgerBase.metadata.tables, *KeysBase.metadata.tables}
    rows = " ".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| "))
    assert {name for name in tables if f"`{name}`" not in rows} == set()


def test_the_page_on_data_protection_has_the_days_of_the_settings() -> None:
    from sluice.settings import Settings

    page = (ROOT / "docs" / "data-protection.md").read_text(encoding="utf-8")
    days = {name: Settings.model_fields[name].default for name in Settings.model_fields if name.endswith("_days")}
    assert len(days) >= 7
    assert {name for name, value in days.items() if not re.search(rf"\b{value} days|\b{value} and", page)} == set()


def test_every_package_and_stage_is_described() -> None:
    """A new package needs its row, and a new stage its place in the order."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    packages = {
        path.stem
        for path in (ROOT / "include" / "sluice").iterdir()
        if path.stem not in ("__init__", "__pycache__", "py")
    }
    assert {*re.findall(r"^\| ([a-z]+) \|", page.partition("## The packages")[2], re.M)} - {"package"} == packages
    steps = re.findall(r"^\| ([a-z]+) \|", page.partition("## The packages")[0], re.M)
    assert [each for each in steps if each in stages.BY_NAME] == [*stages.BY_NAME]
    linted = (ROOT / ".importlinter").read_text(encoding="utf-8")
    assert packages <= {*re.findall(r"[a-z]+", linted.partition("layers =")[2].partition("[")[0])}
