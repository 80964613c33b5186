"""uploads://<tenant>/<collection>: documents that were sent to the API, encrypted in object storage.

    uploads/<tenant>/<collection>/begun            empty; a listing without it shows that the storage was lost
    uploads/<tenant>/<collection>/listed           what the last scan read of the heads, each under its upload's own key
    uploads/<tenant>/<collection>/<upload>/head    encrypted JSON: name, title, metadata, fingerprint, size, content
    uploads/<tenant>/<collection>/<upload>/<…>     encrypted bytes

Each upload has a key of its own, stored under the upload's id. The id follows from tenant, collection and name: sending
a name again replaces the earlier upload. An upload whose key was destroyed (erased) no longer exists.
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
from sluice.sources.schemes import Scheme

_NAMESPACE = UUID("5b0f0f3e-6a35-4c9e-9a55-6a1d6b1f4a10")
_KEYS_AT_ONCE = 500
PREFIX = "uploads://"
SCHEME = Scheme(reader="uploads:UploadReader", example="uploads://<tenant>/<collection>")


def source_uri(tenant: str, collection: str) -> str:
    """Returns the URI of the source that holds the uploads of a tenant into a collection."""
    return f"{PREFIX}{tenant}/{collection}"


def upload_id(tenant: str, collection: str, name: str) -> UUID:
    """Returns the id of an upload. A later upload of the same name has the same id."""
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
    """Stores one upload, replaces an earlier one of that name, and returns its id.

    Raises BadRequest, and Transient if the upload was deleted at the same time.

    A deletion destroys the key, and whoever sends the name afterwards gets a new key. So the key is compared right
    before the head is written and once more after it; the head must then be decryptable, too. One race remains, because
    object storage has no conditional write: between the comparison and the write of the head, the upload is deleted
    *and* completely sent again. The head of the other sender is then overwritten, and its document is missing in the
    next scan, as after the deletion.
    """
    folder, document = _checked_folder(tenant, collection), upload_id(tenant, collection, name)
    place = f"{folder}/{document}"
    if not is_external_id(name):
        raise BadRequest(f"A document's name is 1 to {MAX_ID_CHARS:,} printable characters. Nothing was stored.")
    try:
        checked({"title": title}, letters=True)
        head: dict[str, Any] = {"name": name, "title": title, "metadata": checked(metadata or {}, letters=True)}
    except ValueError as error:
        raise BadRequest(f"{error}. Nothing was stored; correct it and send it again.") from error
    key = keyring.create([document])[document]
    cipher = _cipher(key, place)
    try:
        before = _head(blobs, key, place)
    except Terminal:  # damaged, or the rest of an upload whose key was destroyed
        before = None
    # A unique name: two requests that send the same document at once must not delete each other's bytes.
    path = f"{place}/{uuid4().hex}"
    blobs.write(path, cipher.encrypt("upload", content, path))
    head |= {"fingerprint": _fingerprint(key, head, content), "size_bytes": len(content), "content": path}
    blobs.write(f"{folder}/begun", b"")
    written = keyring.create([document])[document] == key
    if written:
        blobs.write(f"{place}/head", cipher.encrypt_json("upload head", head))
    current = keyring.create([document])[document]
    if not written or current != key or not _opens(blobs, key, place):
        _remove_outdated(blobs, current, place, [path, f"{place}/head"])
        raise Transient(f"{name} was deleted while it was sent. Nothing was stored; send it again to keep it.")
    if before is not None:
        blobs.remove(before["content"])
    return document


def known(blobs: Blobs, keyring: Keyring, *, tenant: str, collection: str, name: str) -> bool:
    """Returns True if a document of that name was sent and not deleted since."""
    folder, document = _checked_folder(tenant, collection), upload_id(tenant, collection, name)
    return _head(blobs, keyring.get([document]).get(document), f"{folder}/{document}") is not None


def remove(blobs: Blobs, keyring: Keyring, *, tenant: str, collection: str, names: Sequence[str]) -> None:
    """Deletes uploads with their keys; the next run of the source finds them missing. Deleting a missing upload is a
    no-op."""
    folder = _checked_folder(tenant, collection)
    _remove(blobs, keyring, {f"{folder}/{upload_id(tenant, collection, name)}" for name in names})


def remove_all(blobs: Blobs, keyring: Keyring, *, tenant: str, collection: str) -> None:
    """Deletes all uploads of one source with their keys. Deleting a missing upload is a no-op."""
    folder = _checked_folder(tenant, collection)
    _remove(blobs, keyring, {path.rpartition("/")[0] for path in blobs.walk(folder)} - {folder})
    if all(path.rpartition("/")[0] == folder for path in blobs.walk(folder)):  # no new upload arrived meanwhile
        for name in ("listed", "begun"):
            blobs.remove(f"{folder}/{name}")


def _remove(blobs: Blobs, keyring: Keyring, folders: Collection[str]) -> None:
    """Deletes the current objects, but no upload that is sent again meanwhile: that one has a new key.

    A request that still sends under the old key notices the deletion and deletes the rest.
    """
    paths = {folder: list(blobs.walk(folder)) for folder in folders}
    keyring.destroy([_upload_of(folder) for folder in folders])
    for folder, folder_paths in paths.items():
        _remove_outdated(blobs, keyring.get([_upload_of(folder)]).get(_upload_of(folder)), folder, folder_paths)


def damage(
    blobs: Blobs, key: bytes | None, *, tenant: str, collection: str, name: str, deep: bool
) -> Literal["missing", "stale"] | None:
    """Returns "missing", "stale" (the content differs from what was sent), or None if the upload is intact.

    Only `deep` reads the content. `key`: the upload's own; without it there is no upload.
    """
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
    except Terminal:  # it cannot be decrypted with its key
        return "stale"
    return None if _fingerprint(key, head, content) == head["fingerprint"] else "stale"


def unnamed(blobs: Blobs, keyring: Keyring, folder: str, paths: Sequence[str]) -> list[str]:
    """Lists the objects in an upload's folder that its head does not name.

    They come from a crash between two writes, or from a request that is between them now. If the head cannot be
    decrypted, none are listed: it is not known which objects it names.
    """
    if f"{folder}/head" not in paths:
        return list(paths)
    rest = [path for path in paths if path != f"{folder}/head"]
    if len(rest) == 1 and not rest[0].endswith(".part"):  # the normal case: no need to decrypt the head
        return []
    document = UUID(folder.rpartition("/")[2])
    try:
        head = _head(blobs, keyring.get([document]).get(document), folder)
    except Terminal:
        return []
    return [] if head is None else [path for path in rest if path != head["content"]]


class UploadReader:
    """SourceReader of one collection's uploads. The constructor raises BadRequest or Forbidden."""

    def __init__(self, spec: SourceSpec, context: SourceContext) -> None:
        tenant, _, collection = spec.uri.removeprefix(PREFIX).partition("/")
        self._folder = _checked_folder(tenant, collection)
        if (tenant, collection) != (spec.tenant, spec.collection):
            raise Forbidden("Uploads belong to their own tenant and collection. Nothing was read.")
        if context.blobs is None or context.keyring is None:
            raise BadRequest("Uploads cannot be read here: no object storage is configured. Nothing was read.")
        self._blobs, self._keyring = context.blobs, context.keyring
        self._uri = source_uri(tenant, collection)
        self._globs = Globs(spec.include, spec.exclude)
        self._max_bytes = context.max_bytes
        self._dry = context.dry

    def scan(self) -> Iterator[ListingEntry]:
        """Reads no contents. Raises Terminal if nothing was ever uploaded, or if the storage is another one."""
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
        before, now = self._last_listing(), dict[str, str]()
        remaining = iter(sorted(path.removesuffix("/head") for path in paths if path.endswith("/head")))
        while folders := list(islice(remaining, _KEYS_AT_ONCE)):
            keys = self._keyring.get([_upload_of(folder) for folder in folders])
            for folder in folders:
                key = keys.get(_upload_of(folder))
                # Each content has a unique name, so a content that was listed before still has the same head.
                only = contents[folder][0] if len(contents[folder]) == 1 else ""
                entry_and_value = self._entry(folder, key, before.get(only)) if key else None
                if entry_and_value is None:
                    continue
                entry, now[only] = entry_and_value
                if self._globs.admit(entry.external_id):
                    yield entry
        now.pop("", None)
        if now.keys() != before.keys() and not self._dry:
            self._blobs.write(f"{self._folder}/listed", json.dumps(now).encode())

    def _last_listing(self) -> dict[str, str]:
        """Maps the name of a content to what a scan read of its head, encrypted, in base64. Empty if the object is
        lost."""
        try:
            listing = json.loads(self._blobs.read(f"{self._folder}/listed"))
            return {name: encrypted for name, encrypted in listing.items() if isinstance(encrypted, str)}
        except (NotFound, ValueError, AttributeError):
            return {}

    def _entry(self, folder: str, key: bytes, last_value: str | None) -> tuple[ListingEntry, str] | None:
        """Returns the entry of an upload and the value by which the next scan recognises it; None if it was deleted
        meanwhile.

        `last_value`: this value from the last scan; if it cannot be used, the head is read. Raises Terminal if the head
        was altered: without its name, the scan could not tell which documents are missing.
        """
        cipher = _cipher(key, folder)
        try:
            if last_value is not None:
                return self._entry_from(cipher.decrypt_json("upload listing", base64.b64decode(last_value))), last_value
        except (Terminal, binascii.Error):
            pass
        head = _head(self._blobs, key, folder)
        if head is None:
            return None
        fields = [head["name"], head["fingerprint"], head["size_bytes"]]
        encrypted = cipher.encrypt_json("upload listing", fields)
        return self._entry_from(fields), base64.b64encode(encrypted).decode()

    def _entry_from(self, fields: Sequence[Any]) -> ListingEntry:
        name, fingerprint, size_bytes = fields
        return ListingEntry(name, f"{self._uri}#{quote(name)}", fingerprint, size_bytes)

    def read(self, item: WorkItem) -> FetchedDocument:
        """Returns what was sent last. Raises ExtractionError (vanished, too_large)."""
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
    """Returns True if there is a head that this key decrypts."""
    try:
        return _head(blobs, key, folder) is not None
    except Terminal:
        return False


def _remove_outdated(blobs: Blobs, key: bytes | None, folder: str, paths: Sequence[str]) -> None:
    """Deletes outdated objects of one upload. Contents have unique names; the head is only deleted if the current `key`
    does not decrypt it.

    A head that is written between the check and the deletion is deleted, too. Its sender reads it back and notices,
    unless the sender read it within this moment.
    """
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
    return json.dumps({field: head[field] for field in ("name", "title", "metadata")}, sort_keys=True).encode()


def _fingerprint(key: bytes, head: Mapping[str, Any], content: bytes) -> str:
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
