"""uploads://<tenant>/<collection>: documents that were sent to the API, sealed in object storage.

    uploads/<tenant>/<collection>/begun            an empty object: a listing without it is of a store that was lost
    uploads/<tenant>/<collection>/listed           what the last scan read of the heads, each under its upload's own key
    uploads/<tenant>/<collection>/<upload>/head    sealed JSON: name, title, metadata, fingerprint, size, content
    uploads/<tenant>/<collection>/<upload>/<…>     sealed bytes

Each upload has a key of its own, by its id, which follows from tenant, collection and name: sending a name again
replaces what was sent. Without its key (erased) an upload is no more.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal
from urllib.parse import quote
from uuid import UUID, uuid4, uuid5

from sluice.encryption import Cipher, keyed_hash
from sluice.errors import BadRequest, Forbidden, NotFound, Terminal, Transient
from sluice.model.document import FetchedDocument
from sluice.model.metadata import checked
from sluice.model.names import MAX_ID_CHARS, check_collection_name, is_external_id, is_name
from sluice.model.reasons import unreadable
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.ports.content import Blobs, Keyring
from sluice.sources.context import SourceContext
from sluice.sources.globs import Globs
from sluice.sources.uri import Scheme

_NAMESPACE = UUID("5b0f0f3e-6a35-4c9e-9a55-6a1d6b1f4a10")
_KEYS_AT_ONCE = 500
PREFIX = "uploads://"
SCHEME = Scheme(reader="uploads:UploadReader", example="uploads://<tenant>/<collection>")


def source_uri(tenant: str, collection: str) -> str:
    return f"{PREFIX}{tenant}/{collection}"


def upload_id(tenant: str, collection: str, name: str) -> UUID:
    return uuid5(_NAMESPACE, json.dumps([tenant, collection, name]))


def store(
    blobs: Blobs,
    keyring: Keyring,
    *,
    tenant: str,
    collection: str,
    name: str,
    content: bytes,
    title: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> UUID:
    """Keep one upload, in place of an earlier one of that name; returns its id. Raises BadRequest, and Transient where
    it was removed at the same time.

    A removal destroys the key, and whoever sends the name after that does so under a new one. So the key is compared
    right before the head is written and once more after it, when the head has to open, too. Object storage has no
    write under a condition, so this remains: between the comparison and the head of a sender the upload is removed
    *and* sent again to its end. The head of the other is overwritten then, and its document is gone at the next scan,
    as after the removal.
    """
    folder, document = _checked_folder(tenant, collection), upload_id(tenant, collection, name)
    place = f"{folder}/{document}"
    if not is_external_id(name):
        raise BadRequest(f"A document's name is 1 to {MAX_ID_CHARS:,} printable characters. Nothing was kept.")
    try:
        checked({"title": title}, letters=True)
        head: dict[str, Any] = {"name": name, "title": title, "metadata": checked(metadata or {}, letters=True)}
    except ValueError as error:
        raise BadRequest(f"{error}. Nothing was kept; correct it and send it again.") from error
    key = keyring.create([document])[document]
    cipher = _cipher(key, place)
    try:
        before = _head(blobs, key, place)
    except Terminal:  # damaged, or what is left of one whose key is destroyed
        before = None
    # A name of its own: two that send the same document at once must not remove each other's bytes.
    path = f"{place}/{uuid4().hex}"
    blobs.write(path, cipher.encrypt("upload", content, path))
    head |= {"fingerprint": _mark(key, head, content), "size_bytes": len(content), "content": path}
    blobs.write(f"{folder}/begun", b"")
    written = keyring.create([document])[document] == key
    if written:
        blobs.write(f"{place}/head", cipher.encrypt_json("upload head", head))
    current = keyring.create([document])[document]
    if not written or current != key or not _opens(blobs, key, place):
        _remove_outdated(blobs, current, place, [path, f"{place}/head"])
        raise Transient(f"{name} was removed while it was sent. Nothing was kept; send it again if it is wanted.")
    if before is not None:
        blobs.remove(before["content"])
    return document


def known(blobs: Blobs, keyring: Keyring, *, tenant: str, collection: str, name: str) -> bool:
    """Whether a document of that name was sent before and not removed."""
    folder, document = _checked_folder(tenant, collection), upload_id(tenant, collection, name)
    return _head(blobs, keyring.get([document]).get(document), f"{folder}/{document}") is not None


def remove(blobs: Blobs, keyring: Keyring, *, tenant: str, collection: str, names: Sequence[str]) -> None:
    """With their keys; the next run of the source finds them gone. Removing what is not there is a no-op."""
    folder = _checked_folder(tenant, collection)
    _remove(blobs, keyring, {f"{folder}/{upload_id(tenant, collection, name)}" for name in names})


def remove_all(blobs: Blobs, keyring: Keyring, *, tenant: str, collection: str) -> None:
    """Every upload of one source, with their keys. Removing what is not there is a no-op."""
    folder = _checked_folder(tenant, collection)
    _remove(blobs, keyring, {path.rpartition("/")[0] for path in blobs.walk(folder)} - {folder})
    if all(path.rpartition("/")[0] == folder for path in blobs.walk(folder)):  # nobody has sent one meanwhile
        for name in ("listed", "begun"):
            blobs.remove(f"{folder}/{name}")


def _remove(blobs: Blobs, keyring: Keyring, folders: Collection[str]) -> None:
    """What is there now, and nothing of who sends a name again while this goes on: that is acknowledged under a new
    key. Whoever was sending under the old one sees that it has gone and removes the rest."""
    paths = {folder: list(blobs.walk(folder)) for folder in folders}
    keyring.destroy([_upload_of(folder) for folder in folders])
    for folder, those in paths.items():
        _remove_outdated(blobs, keyring.get([_upload_of(folder)]).get(_upload_of(folder)), folder, those)


def damage(
    blobs: Blobs, key: bytes | None, *, tenant: str, collection: str, name: str, deep: bool
) -> Literal["missing", "stale"] | None:
    """What is wrong with the objects of one upload: nothing, gone, or (`deep`, which reads the bytes) not what was
    sent. `key`: the upload's own; without it there is no upload."""
    folder = f"{_checked_folder(tenant, collection)}/{upload_id(tenant, collection, name)}"
    try:
        head = _head(blobs, key, folder)
        if key is None or head is None:
            return "missing"
        if not deep:
            blobs.modified_at(head["content"])
            return None
        content = _content(blobs, key, folder, head)
    except NotFound:
        return "missing"
    except Terminal:  # it does not open with its key
        return "stale"
    return None if _mark(key, head, content) == head["fingerprint"] else "stale"


def leftovers(blobs: Blobs, keyring: Keyring, folder: str, paths: Sequence[str]) -> list[str]:
    """Of the objects in an upload's folder, those that its head does not name: of a crash between two writes, or of a
    sender who is between them now. What does not open is left alone: it is not known to be nobody's."""
    if f"{folder}/head" not in paths:
        return list(paths)
    rest = [path for path in paths if path != f"{folder}/head"]
    if len(rest) == 1 and not rest[0].endswith(".part"):  # as it should be: no need to open it
        return []
    document = UUID(folder.rpartition("/")[2])
    try:
        head = _head(blobs, keyring.get([document]).get(document), folder)
    except Terminal:
        return []
    return [] if head is None else [path for path in rest if path != head["content"]]


class UploadReader:
    """SourceReader of one collection's uploads. Raises BadRequest or Forbidden when made."""

    def __init__(self, spec: SourceSpec, reach: SourceContext) -> None:
        tenant, _, collection = spec.uri.removeprefix(PREFIX).partition("/")
        self._folder = _checked_folder(tenant, collection)
        if (tenant, collection) != (spec.tenant, spec.collection):
            raise Forbidden("Uploads belong to their own tenant and collection. Nothing was read.")
        if reach.blobs is None or reach.keyring is None:
            raise BadRequest("Uploads cannot be read here: no object storage is given. Nothing was read.")
        self._blobs, self._keyring = reach.blobs, reach.keyring
        self._uri = source_uri(tenant, collection)
        self._globs = Globs(spec.include or (), spec.exclude or ())
        self._max_bytes = reach.max_bytes
        self._dry = reach.dry

    def scan(self) -> Iterator[ListingEntry]:
        """Reads no contents. Raises Terminal where nothing was ever uploaded, or the storage is another one."""
        paths = self._blobs.list(self._folder)
        if f"{self._folder}/begun" not in paths:
            raise Terminal(
                f"There are no uploads at {self._blobs.uri(self._folder)}. Nothing was deleted. Upload a document "
                "first, or restore the object storage."
            )
        contents: dict[str, list[str]] = defaultdict(list)  # by the upload's folder; usually one
        for path in paths:
            folder, _, name = path.rpartition("/")
            if folder != self._folder and name != "head":
                contents[folder].append(name)
        before, now = self._listed(), dict[str, str]()
        rest = iter(sorted(path.removesuffix("/head") for path in paths if path.endswith("/head")))
        while some := list(islice(rest, _KEYS_AT_ONCE)):
            keys = self._keyring.get([_upload_of(folder) for folder in some])
            for folder in some:
                key = keys.get(_upload_of(folder))
                # A name of its own for each content that is sent: one that was listed before has the head of then.
                only = contents[folder][0] if len(contents[folder]) == 1 else ""
                listed = self._entry(folder, key, before.get(only)) if key else None
                if listed is None:
                    continue
                entry, now[only] = listed
                if self._globs.admit(entry.external_id):
                    yield entry
        now.pop("", None)
        if now.keys() != before.keys() and not self._dry:
            self._blobs.write(f"{self._folder}/listed", json.dumps(now).encode())

    def _listed(self) -> dict[str, str]:
        """Name of a content → what a scan read of its head, sealed, in base64. Empty where it is lost."""
        try:
            listed = json.loads(self._blobs.read(f"{self._folder}/listed"))
            return {name: sealed for name, sealed in listed.items() if isinstance(sealed, str)}
        except (NotFound, ValueError, AttributeError):
            return {}

    def _entry(self, folder: str, key: bytes, listed: str | None) -> tuple[ListingEntry, str] | None:
        """The entry of an upload, with what the next scan may know it by. Reads the head where `listed` is of
        no use. None: removed meanwhile. Raises Terminal where it was altered: without its name nobody can say what is
        gone."""
        cipher = _cipher(key, folder)
        try:
            if listed is not None:
                return self._listed_entry(cipher.decrypt_json("upload listing", base64.b64decode(listed))), listed
        except (Terminal, binascii.Error):
            pass
        head = _head(self._blobs, key, folder)
        if head is None:
            return None
        fields = [head["name"], head["fingerprint"], head["size_bytes"]]
        encrypted = cipher.encrypt_json("upload listing", fields)
        return self._listed_entry(fields), base64.b64encode(encrypted).decode()

    def _listed_entry(self, fields: Sequence[Any]) -> ListingEntry:
        name, fingerprint, size_bytes = fields
        return ListingEntry(name, f"{self._uri}#{quote(name)}", fingerprint, size_bytes)

    def read(self, item: WorkItem) -> FetchedDocument:
        """What was sent last. Raises Unreadable (vanished, too_large)."""
        tenant, collection = self._folder.split("/")[1:]
        document = upload_id(tenant, collection, item.entry.external_id)
        key = self._keyring.get([document]).get(document)
        folder = f"{self._folder}/{document}"
        head = _head(self._blobs, key, folder)
        if key is None or head is None:
            raise unreadable("vanished")
        if head["size_bytes"] > self._max_bytes:
            raise unreadable("too_large")
        try:
            content = _content(self._blobs, key, folder, head)
        except NotFound as error:
            raise unreadable("vanished") from error
        return FetchedDocument(item, content, title=head["title"], metadata=head["metadata"])


def _head(blobs: Blobs, key: bytes | None, folder: str) -> dict[str, Any] | None:
    if key is None:
        return None
    try:
        head: dict[str, Any] = _cipher(key, folder).decrypt_json("upload head", blobs.read(f"{folder}/head"))
    except NotFound:
        return None
    return head


def _opens(blobs: Blobs, key: bytes | None, folder: str) -> bool:
    """Whether there is a head that was written under this key."""
    try:
        return _head(blobs, key, folder) is not None
    except Terminal:
        return False


def _remove_outdated(blobs: Blobs, key: bytes | None, folder: str, paths: Sequence[str]) -> None:
    """Of one upload: contents have names of their own; the head goes only where it does not open with `key`, which
    holds now. A head that is written between the look and the removal goes, too; its sender, who reads it back, is
    told so unless that was within this moment as well."""
    for path in paths:
        if path != f"{folder}/head" or not _opens(blobs, key, folder):
            blobs.remove(path)


def _content(blobs: Blobs, key: bytes, folder: str, head: Mapping[str, Any]) -> bytes:
    path = head["content"]
    return _cipher(key, folder).decrypt("upload", blobs.read(path), path)


def _cipher(key: bytes, folder: str) -> Cipher:
    """`folder`: uploads/<tenant>/<collection>/<upload>."""
    _, tenant, _, upload = folder.split("/")
    return Cipher(key, tenant, UUID(upload))


def _upload_of(folder: str) -> UUID:
    return UUID(folder.rpartition("/")[2])


def _described(head: Mapping[str, Any]) -> bytes:
    return json.dumps({each: head[each] for each in ("name", "title", "metadata")}, sort_keys=True).encode()


def _mark(key: bytes, head: Mapping[str, Any], content: bytes) -> str:
    return keyed_hash(key, "upload", _described(head) + b"\0" + content).hex()


def _checked_folder(tenant: str, collection: str) -> str:
    """Raises BadRequest."""
    if not is_name(tenant):
        raise BadRequest(
            "Uploads are for a tenant with a name of 1 to 63 lower-case letters, digits, '_' and '-': "
            f"uploads://<tenant>/<collection>, not {tenant[:80]!r}."
        )
    check_collection_name(collection)
    return f"uploads/{tenant}/{collection}"
