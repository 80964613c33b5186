"""Puts the migrations into the wheel. Everything else about the package is in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithMigrations(build_py):
    """Copies `alembic.ini` and `migrations/` into the package, beside each other as they are in the checkout.

    An editable install uses those of the checkout.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        package = Path(self.build_lib, "sluice")
        for source in _migrations():
            target = package / source.relative_to(ROOT)
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target))


def _migrations() -> list[Path]:
    scripts = (path for path in (ROOT / "migrations").rglob("*") if path.suffix in (".py", ".mako"))
    return [ROOT / "alembic.ini", *sorted(scripts)]


setup(cmdclass={"build_py": BuildWithMigrations})
