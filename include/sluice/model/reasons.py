"""Reasons why one document cannot be read: a stable code, and a text that says what to do.

Reasons are stored unencrypted, so none of them contains text of the document.
"""

from __future__ import annotations

from sluice.errors import ExtractionError

SUPPORTED = (
    "Markdown, plain text and source code, JSON, YAML, CSV, HTML, XML, reStructuredText, Org, LaTeX, "
    "notebooks (ipynb), PDF, DOCX, PPTX, XLSX, DOC, PPT, XLS, ODT, ODS, ODP, RTF, EPUB, EML, MSG, "
    "and each of them compressed (gz, bz2, xz, zst)"
)

REASONS: dict[str, str] = {
    # found on reading
    "vanished": "The file was listed but no longer exists. If it was moved, the next run finds it at its new path.",
    "permission": (
        "Sluice may not read it. Give read permission to the user that runs Sluice, or to the login of the source's "
        "connection."
    ),
    "outside_root": (
        "The link points outside the source's folder, so it was not followed. Put the file itself in the "
        "folder, or make the file's own folder a source."
    ),
    "broken_link": "The target of the link does not exist, or the links form a loop. Repair or remove it.",
    "not_a_file": "This is a folder, pipe, socket or device, not a document; it was not opened. Exclude it.",
    "too_large": "The document is larger than SLUICE_MAX_DOCUMENT_BYTES allows. Split it, or raise the limit.",
    "archived": "The object is in an archive (Glacier). Restore it; the next run tries again.",
    "slow": (
        "It took longer to fetch than SLUICE_FETCH_TIMEOUT_S allows. The next run tries again; raise the limit if "
        "this happens repeatedly."
    ),
    "refused": "The server answered with an HTTP error. Open its address in a browser to see why.",
    "unavailable": (
        "The server failed, did not answer, or took longer than SLUICE_FETCH_TIMEOUT_S allows. The next run tries "
        "again."
    ),
    "robots": "The site's robots.txt does not allow SluiceBot to fetch it. Ask the site's owner, or exclude it.",
    "bad_url": (
        "The address cannot be fetched: only https:// without a login is allowed; http:// and other ports only for "
        "hosts in SLUICE_HTTP_TRUSTED_HOSTS. Correct the list."
    ),
    "other_host": ("It is on another host than its list. Exclude it, or allow that host with SLUICE_HTTP_HOSTS."),
    "address": (
        "The host is in a private or special network, so no connection was made. If the host is trusted, add it to "
        "SLUICE_HTTP_TRUSTED_HOSTS."
    ),
    "certificate": "The server's certificate is not valid, so no request was sent. The next run tries again.",
    "redirects": "The server redirected too many times. The next run tries again.",
    "changing": "The file kept changing while it was read. The next run reads it again.",
    "bad_line": (
        "The line is not a JSON object with a string `_id` (1 to 1,000 printable characters) and a "
        "string `text`, or its metadata is beyond the limits (64-bit numbers, 32 levels, 64 KiB). Correct the line."
    ),
    "duplicate_id": "An earlier line has the same `_id`; that one is used. Give this line an `_id` of its own.",
    "link": "This is a symbolic link in a repository or zip; it was not followed. Its target is read as its own file.",
    "submodule": "This is a submodule, another repository. Make that repository a source of its own.",
    "lfs_pointer": (
        "The repository contains a Git LFS pointer only; the content is on the LFS server, which Sluice does not "
        "contact. Check the repository out with LFS and ingest it with file://."
    ),
    "member_name": (
        "Its name in the zip is absolute, points outside the zip (`..`), or is longer than 1,000 bytes. Pack it under "
        "another name."
    ),
    "duplicate_member": "The zip has an earlier member of that name, which is used. Give this one another name.",
    "member_method": "Its compression method in the zip is not supported: use deflate or stored, and pack it again.",
    "bad_row": (
        "The row has no id of 1 to 1,000 printable characters, no text, or metadata beyond the limits (64-bit numbers, "
        "32 levels, 64 KiB). Correct the row, or exclude it by a saved query."
    ),
    "duplicate_row": "Another row has the same id; one of them is used. Give each row an id of its own.",
    "not_kept": "Its bytes are no longer retained in quarantine. The next run reads it from its source.",
    "unforeseen": (
        "Reading it failed with an unexpected error, which is in the log. The next run tries again; report it if it "
        "stays."
    ),
    # found on extracting
    "empty": "It contains no text (text inside pictures is not read). Add text to it or remove it.",
    "no_text": (
        "No text was found in it; it may contain only scanned pages. SLUICE_OCR=tesseract reads such pages; where it "
        "is already on, no legible text was found."
    ),
    "encrypted": "It is protected by a password. Replace it with a copy without a password.",
    "corrupt": "It is damaged or incomplete: its parser could not read it. Replace it with a complete copy.",
    "binary": f"It is neither text nor a known document format. Supported: {SUPPORTED}.",
    "unsupported": f"This format cannot be read. Convert it; supported: {SUPPORTED}.",
    "image": (
        "It is a picture. SLUICE_OCR=tesseract reads the text in PNG, JPEG, GIF, TIFF and WebP pictures. "
        f"Supported without it: {SUPPORTED}."
    ),
    "archive": (
        "It is an archive of files (zip, tar, 7z, rar), and archives are not opened. Unpack it and put the files here. "
        "A zip directly in a folder or bucket is opened where an include glob names its members: *.zip!/"
    ),
    "zip_bomb": (
        "Its unpacked size is far larger than that of a document, so it was not opened. If it is genuine, put it here "
        "unpacked, or save it as PDF or text."
    ),
    "too_deep": "Its parts are nested too deeply. Save it as PDF or text.",
    "too_long": "Its text is longer than SLUICE_MAX_TEXT_CHARS allows. Split it, or raise the limit.",
    "timeout": (
        "Extraction took longer than SLUICE_EXTRACT_TIMEOUT_S allows and was stopped. Split it, save it "
        "as PDF or text, or raise the limit."
    ),
    "crashed": "Its parser crashed; the next run tries it again. Save it with another program, or as PDF or text.",
    "out_of_memory": (
        "Extraction needed more memory than SLUICE_EXTRACT_MEMORY_MB allows. Split it, or raise the limit."
    ),
}

# Not a property of the bytes: a later run may read the same, unchanged document.
CIRCUMSTANTIAL = frozenset(
    {
        "not_kept", "unforeseen", "vanished", "permission", "archived", "slow", "refused", "unavailable", "address",
        "certificate", "redirects", "changing", "timeout", "crashed", "out_of_memory",
    }
)  # fmt: skip


def unreadable(code: str) -> ExtractionError:
    """Returns the error for a code of REASONS, with its reason. Raises KeyError for another code."""
    return ExtractionError(code, REASONS[code])
