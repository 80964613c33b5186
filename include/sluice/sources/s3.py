"""s3://bucket/folder/[?connection=<id>]: the objects below a folder, on any S3-compatible endpoint.

The external id of a document is its key below the folder, printed as in `sluice.model.file_names`. Its fingerprint is
ETag and size, which the listing contains: an unchanged object is not read. Folder markers (empty objects whose name
ends with a slash) are left out. So are hidden names, as in a folder, unless an include glob names one. If an include
glob names members of a zip (`members.py`), only the needed parts of the zip are fetched.

The connection's login and password are the access key and its secret. Its extra may hold `endpoint_url`, `region_name`,
`aws_session_token`, `addressing_style` (path, virtual), `verify` (false, or a file of certificates) and `anonymous`
(true: for public buckets). A source without a login is rejected, unless `SLUICE_S3_DEFAULT_CREDENTIALS` lets boto3 look
for one in its usual places: every user who may ingest could then read everything that the machine may read.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache, partial
from typing import Any, NoReturn
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from sluice.compression import gunzip
from sluice.errors import TRY_AGAIN, BadRequest, ExtractionError, SluiceError, Unavailable
from sluice.model.document import FetchedDocument
from sluice.model.file_names import hidden, original, printable
from sluice.model.reasons import unreadable
from sluice.model.records import RECORD_MIME
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.ports.readers import Connection
from sluice.sources.context import SourceContext
from sluice.sources.globs import Globs
from sluice.sources.members import Archive, members_of, read_member
from sluice.sources.ranges import Ranges
from sluice.sources.schemes import Scheme, dataset_by_host, place_below

_ATTEMPTS = 5  # of a call; boto3 retries with back-off and jitter up to 20 s
_PART_BYTES = 1 << 20
_INCOMPLETE = "The scan is not complete, and nothing was deleted."
_BAD_LOGIN = frozenset(
    {
        "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired",
        "RequestTimeTooSkewed", "AuthorizationHeaderMalformed", "InvalidClientTokenId", "AccountProblem", "401",
    }
)  # fmt: skip


# Names that boto3 accepts. ARNs and aliases of access points are left out: rules would not recognise the bucket.
_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
_ALIASES = ("-s3alias", "--ol-s3")  # endings that AWS reserves for access points


def canonical_s3(uri: str) -> str:
    """Returns `s3://bucket/folder/?connection=x`: the prefix ends with a slash, and escapes have one form."""
    uri = uri.strip()
    parts = urlsplit(uri)
    if parts.fragment or not parts.netloc:
        return uri  # the reader rejects it
    prefix = unquote(parts.path).removeprefix("/")
    folder = quote(prefix if not prefix or prefix.endswith("/") else f"{prefix}/")
    query = urlencode(sorted(parse_qsl(parts.query, keep_blank_values=True)))
    return f"s3://{parts.netloc}/{folder}" + (f"?{query}" if query else "")


def _dataset(parts: SplitResult) -> tuple[str, str]:
    return dataset_by_host(parts._replace(path=parts.path.strip("/")))


SCHEME = Scheme(
    reader="s3:S3Reader",
    example="s3://bucket/folder/",
    canonical=canonical_s3,
    dataset=_dataset,
    place=partial(place_below, "s3"),
)


class S3Reader:
    """SourceReader of one bucket's folder. The constructor raises BadRequest if the URI or the connection is wrong."""

    def __init__(self, spec: SourceSpec, context: SourceContext) -> None:
        parts = urlsplit(canonical_s3(spec.uri))
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        conn_id = options.pop("connection", "")
        if not parts.netloc or parts.fragment or options:
            raise BadRequest(
                f"{spec.uri} is not s3://bucket/folder/ or s3://bucket/folder/?connection=<id>. In a folder's name "
                "write ? as %3F, # as %23 and % as %25. Nothing was read."
            )
        if not _BUCKET.fullmatch(parts.netloc) or parts.netloc.lower().endswith(_ALIASES):
            raise BadRequest(
                f"{parts.netloc[:200]!r} is not a bucket's own name: letters, digits, '.', '_' and '-'. Nothing was "
                "read. Name the bucket itself in place of an access point."
            )
        self._bucket, self._prefix = parts.netloc, unquote(parts.path).removeprefix("/")
        self._connection = context.connections(conn_id) if conn_id else None
        _check_login(spec.uri, self._connection, context)
        self._globs = Globs(spec.include, spec.exclude)
        self._context = context
        self._archive: tuple[str, Archive] | None = None  # the last one read
        self._deadline_s = 0.0  # on the monotonic clock; for the document being read, or the zip being listed

    def scan(self) -> Iterator[ListingEntry]:
        """Raises BadRequest if the bucket may not be listed, Transient if the listing fails or is incomplete."""
        for page in self._pages():
            for listing in page.get("Contents", ()):
                name = listing["Key"][len(self._prefix) :]
                if name and not (name.endswith("/") and listing["Size"] == 0) and self._admits(name):
                    yield from self._entries(name, listing)

    def read(self, item: WorkItem) -> FetchedDocument:
        """Returns the current object. Raises ExtractionError (vanished, permission, archived, too_large, slow, …),
        Transient, and BadRequest if the login is no longer valid."""
        self._start_clock()
        member = self._member(item.entry.external_id)
        if member is not None:
            return FetchedDocument(item, member)
        if item.entry.size_bytes > self._context.max_bytes:
            raise unreadable("too_large")
        answer, content = self._get(self._key(item.entry.external_id), self._context.max_bytes)
        if answer.get("ContentEncoding", "").lower() == "gzip":
            content = gunzip(content, self._context.max_bytes)
        mime = answer.get("ContentType")
        modified = {"last_modified": answer["LastModified"].isoformat()} if "LastModified" in answer else {}
        # An object must not claim the internal MIME type that only our own readers set.
        return FetchedDocument(item, content, mime if mime != RECORD_MIME else None, metadata=modified)

    def _pages(self) -> Iterator[Mapping[str, Any]]:
        """Lists by hand, because boto3's paginator ends without an error if a truncated listing names no next page."""
        more: dict[str, str] = {}
        while True:
            try:
                page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, **more)
            except Exception as error:
                self._raise_for_listing(error)
            yield page
            if not page.get("IsTruncated"):
                return
            token = page.get("NextContinuationToken")
            if not token or token == more.get("ContinuationToken"):
                raise Unavailable(
                    self._shown, f"its listing is truncated and names no next page. {_INCOMPLETE}", TRY_AGAIN
                )
            more = {"ContinuationToken": token}

    def _admits(self, name: str) -> bool:
        external_id = self._printed(name)
        if not self._globs.hidden and hidden(external_id):
            return False
        return self._globs.admit(external_id) or self._globs.opens(external_id)

    def _printed(self, name: str) -> str:
        return self._globs.printed(printable(name.encode("utf-8", "surrogateescape")))

    def _key(self, external_id: str) -> str:
        return self._prefix + original(external_id).decode("utf-8", "surrogateescape")

    def _start_clock(self) -> None:
        self._deadline_s = time.monotonic() + self._context.fetch_timeout_s

    def _entries(self, name: str, listing: Mapping[str, Any]) -> Iterator[ListingEntry]:
        entry = self._entry(name, listing)
        if not self._globs.opens(entry.external_id):
            yield entry
            return
        self._start_clock()
        yield from members_of(entry, self._globs, lambda: self._open(entry.external_id, listing["Size"], listing))

    def _member(self, external_id: str) -> bytes | None:
        """Reads a member; see `read_member`. Opens the zip again if it was replaced meanwhile."""
        read = partial(read_member, external_id, self._globs, self._context.max_bytes, self._opened)
        try:
            return read()
        except ExtractionError as error:
            if error.code != "changing":
                raise
        self._archive = None
        return read()

    def _opened(self, external_id: str) -> Archive:
        """Returns the zip; the last one stays open, so its parts are of one state of the object. Raises the errors of
        `_open`."""
        if self._archive is None or self._archive[0] != external_id:
            try:
                answer = self._client.head_object(Bucket=self._bucket, Key=self._key(external_id))
            except Exception as error:
                self._raise_for_object(error)
            self._archive = (external_id, self._open(external_id, answer["ContentLength"], answer))
        return self._archive[1]

    def _open(self, external_id: str, size_bytes: int, state: Mapping[str, Any]) -> Archive:
        """Opens a zip; `state` contains the object's ETag. Raises ExtractionError, NotAnArchive and Transient."""
        same = {"IfMatch": state["ETag"]} if state.get("ETag") else {}

        def part(start: int, stop: int) -> bytes:
            size = stop - start
            content = self._get(self._key(external_id), size, Range=f"bytes={start}-{stop - 1}", **same)[1]
            if len(content) != size:
                raise unreadable("changing")
            return content

        return Archive(Ranges(part, size_bytes))

    def _entry(self, name: str, listing: Mapping[str, Any]) -> ListingEntry:
        state = listing.get("ETag", "").strip('"') or listing["LastModified"].isoformat()
        return ListingEntry(
            external_id=self._printed(name),
            uri=f"s3://{self._bucket}/{quote(self._prefix + name, errors='surrogateescape')}",
            fingerprint=f"{state}-{listing['Size']}",
            size_bytes=listing["Size"],
        )

    def _get(self, key: str, max_bytes: int, **part: str) -> tuple[Mapping[str, Any], bytes]:
        """Returns the object's headers and its bytes, before the deadline. boto3 retries the call, but not an
        interrupted body."""
        for pause_s in (0.2, 1.0, None):
            if time.monotonic() > self._deadline_s:
                raise unreadable("slow")
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key, **part)
            except Exception as error:
                self._raise_for_object(error)
            try:
                return answer, _body(answer["Body"], max_bytes, self._deadline_s)
            except SluiceError:
                raise
            except Exception as error:
                if pause_s is None or time.monotonic() + pause_s > self._deadline_s:
                    self._raise_for_all(error)
            time.sleep(pause_s)
        raise AssertionError("unreachable")

    # --- the client and its errors ----------------------------------------------------------------------------

    @cached_property
    def _client(self) -> Any:
        return make_client(self._connection, self._context)

    @property
    def _shown(self) -> str:
        return f"bucket {self._bucket}"

    def _raise_for_listing(self, error: Exception) -> NoReturn:
        code, status = _error_code(error)
        if status == 404:
            raise BadRequest(
                f"There is no {self._shown}. {_INCOMPLETE} Correct the source's URI or its connection's endpoint."
            ) from error
        if status in (400, 401, 403) and code not in _BAD_LOGIN:
            raise BadRequest(
                f"The {self._shown} cannot be listed ({code}). {_INCOMPLETE} Give the connection's login the right "
                "s3:ListBucket, or name another connection in the URI: ?connection=<id>."
            ) from error
        self._raise_for_all(error)

    def _raise_for_object(self, error: Exception) -> NoReturn:
        code, status = _error_code(error)
        if code == "NoSuchBucket":
            raise Unavailable(
                self._shown, "it is gone", "Correct the source's URI, or create the bucket again."
            ) from error
        if code == "InvalidObjectState":
            raise unreadable("archived") from error
        if status == 404:
            raise unreadable("vanished") from error
        if code == "PreconditionFailed":  # of a part: the object was replaced meanwhile
            raise unreadable("changing") from error
        if status in (400, 403, 405, 409, 412) and code not in _BAD_LOGIN:
            raise unreadable("permission") from error
        self._raise_for_all(error)

    def _raise_for_all(self, error: Exception) -> NoReturn:
        from botocore.exceptions import NoCredentialsError, ParamValidationError, PartialCredentialsError

        code, status = _error_code(error)
        if code in _BAD_LOGIN or isinstance(error, NoCredentialsError | PartialCredentialsError):
            raise BadRequest(
                f"The login for {self._shown} is missing or not valid ({code}). Nothing was changed. Name a connection "
                "in the URI, ?connection=<id>, whose login and password are an access key and its secret."
            ) from error
        if isinstance(error, ParamValidationError) or (status is not None and 400 <= status < 500 and status != 429):
            raise BadRequest(f"The server rejected the call on {self._shown} ({code}). Nothing was changed.") from error
        if _of_the_network(error):
            raise Unavailable(self._shown, f"{code}. Nothing was changed", TRY_AGAIN) from error
        raise error


def _check_login(uri: str, connection: Connection | None, context: SourceContext) -> None:
    login = connection or Connection()
    if (login.login and login.password) or _true(login.extra.get("anonymous")) or context.s3_default_credentials:
        return
    raise BadRequest(
        f"{uri} names no connection with a login, and the machine's own credentials may not be used. Nothing was read. "
        "Add ?connection=<id>, whose login and password are an access key and its secret (or whose extra says "
        '"anonymous": true, for a public bucket); or set SLUICE_S3_DEFAULT_CREDENTIALS=true where every writer may '
        "read what this machine may read."
    )


def make_client(connection: Connection | None, context: SourceContext) -> Any:
    """Creates boto3's S3 client, with timeouts. Does not connect yet. Raises BadRequest for an invalid endpoint."""
    from botocore import UNSIGNED
    from botocore.config import Config

    login = connection or Connection()
    extra = login.extra
    endpoint = extra.get("endpoint_url") or _endpoint(login)
    config = Config(
        connect_timeout=context.connect_timeout_s,
        read_timeout=context.call_timeout_s,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        signature_version=UNSIGNED if _true(extra.get("anonymous")) else None,
        # Other servers seldom have a host name for each bucket.
        s3={"addressing_style": extra.get("addressing_style") or ("path" if endpoint else "auto")},
        # Not all compatible servers know the newer checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        return _session().client(
            "s3",
            endpoint_url=endpoint,
            region_name=extra.get("region_name") or ("us-east-1" if endpoint else None),
            aws_access_key_id=login.login or None,
            aws_secret_access_key=login.password or None,
            aws_session_token=extra.get("aws_session_token"),
            verify=_verify(extra.get("verify")),
            config=config,
        )
    except ValueError as error:
        raise BadRequest(f"The connection's endpoint_url or region_name cannot be used: {error}") from error


@lru_cache(maxsize=1)
def _session() -> Any:
    """One session per process: it reads the service's description from disk, which takes longer than a call."""
    import boto3

    return boto3.session.Session()


def _endpoint(held: Connection) -> str | None:
    if not held.host:
        return None
    return f"{held.schema or 'https'}://{held.host}" + (f":{held.port}" if held.port else "")


def _verify(value: Any) -> bool | str | None:
    """Returns None for the default certificates."""
    if isinstance(value, str) and value.lower() in ("true", "false", ""):
        return None if value.lower() != "false" else False
    return value if isinstance(value, bool | str) else None


def _true(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "yes")


def _body(body: Any, max_bytes: int, deadline_s: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        while part := body.read(_PART_BYTES):
            size += len(part)
            if size > max_bytes:
                raise unreadable("too_large")
            if time.monotonic() > deadline_s:
                raise unreadable("slow")
            parts.append(part)
    finally:
        body.close()
    return b"".join(parts)


def _error_code(error: Exception) -> tuple[str, int | None]:
    """Returns (code, HTTP status) from the server, or else the name of the error."""
    answer: Any = getattr(error, "response", None)
    if not isinstance(answer, dict):
        return type(error).__name__, None
    code = str(answer.get("Error", {}).get("Code") or type(error).__name__)
    return code, answer.get("ResponseMetadata", {}).get("HTTPStatusCode")


def _of_the_network(error: Exception) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return isinstance(error, BotoCoreError | ClientError | HTTPError | OSError)
