"""Why one document cannot be read: a stable code, and a sentence that says what to do.

Reasons are stored readable, so none of them ever holds a word of the document.
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
    "vanished": "The file was listed but is gone. If it was moved, the next run finds it at its new place.",
    "permission": (
        "It may not be read. Give read permission to the user that runs Sluice, or to the login of the source's "
        "connection."
    ),
    "outside_root": (
        "The link leads out of the source's folder, so it was not followed. Put the file itself in the "
        "folder, or make the folder that it lies in a source."
    ),
    "broken_link": "The link leads nowhere, or in a circle. Repair it or remove it.",
    "not_a_file": "This is a folder, pipe, socket or device, not a document; it was not opened. Exclude it.",
    "too_large": "The document is larger than SLUICE_MAX_DOCUMENT_BYTES allows. Split it, or raise the limit.",
    "archived": "The object lies in an archive (Glacier). Restore it; the next run tries again.",
    "slow": (
        "It took longer to fetch than SLUICE_FETCH_TIMEOUT_S allows. The next run tries again; raise the limit where "
        "this comes again and again."
    ),
    "refused": "The server did not hand it over (an HTTP error). Open its address in a browser to see why.",
    "unavailable": (
        "The server failed, did not answer, or took longer than SLUICE_FETCH_TIMEOUT_S allows. The next run tries "
        "again."
    ),
    "robots": "The site's robots.txt does not allow it to SluiceBot. Ask the site's owner, or exclude it.",
    "bad_url": (
        "The address cannot be fetched: it is https:// without a login, and http:// or another port only for hosts in "
        "SLUICE_HTTP_TRUSTED_HOSTS. Correct the list."
    ),
    "other_host": ("It lies on another host than its list. Exclude it, or allow that host with SLUICE_HTTP_HOSTS."),
    "address": (
        "The host lies in a private or special network, so it was not connected to. Where that is meant, name it in "
        "SLUICE_HTTP_TRUSTED_HOSTS."
    ),
    "certificate": "The server's certificate is not valid, so nothing was asked of it. The next run tries again.",
    "redirects": "The server led from address to address without end.",
    "changing": "The file kept changing while it was read. The next run reads it again.",
    "bad_line": (
        "The line is not a JSON object with a string `_id` (1 to 1,000 printable characters) and a "
        "string `text`, or its metadata is beyond bounds (64-bit numbers, 32 levels, 64 KiB). Correct the line."
    ),
    "duplicate_id": "An earlier line has the same `_id`; that one is used. Give this line an `_id` of its own.",
    "link": "This is a symbolic link in a repository or zip; it was not followed. The file it leads to is read itself.",
    "submodule": "This is a submodule, another repository. Make that repository a source of its own.",
    "lfs_pointer": (
        "The repository holds a Git LFS pointer only; the content lies on the LFS server, which is not asked. Make a "
        "checkout with LFS and read it with file://."
    ),
    "member_name": (
        "Its name in the zip is absolute, leads out of the zip (`..`), or is longer than 1,000 bytes. Pack it under "
        "another name."
    ),
    "duplicate_member": "The zip holds an earlier member of that name, which is used. Give this one another name.",
    "member_method": "The zip packs it by a method that is not read: only deflate and stored are. Pack it anew.",
    "bad_row": (
        "The row has no id of 1 to 1,000 printable characters, no text, or metadata beyond bounds (64-bit numbers, "
        "32 levels, 64 KiB). Correct the row, or leave it out by a saved query."
    ),
    "duplicate_row": "Another row has the same id; one of them is used. Give each row an id of its own.",
    "not_kept": "Quarantine does not have its bytes any more. The next run reads it from its source.",
    "unforeseen": (
        "Reading it broke in a way that Sluice does not know; the log has the error. The next run tries again; report "
        "it if it stays."
    ),
    # found on extracting
    "empty": "There is no text in it (text inside of pictures is not read). Fill it or remove it.",
    "no_text": (
        "No text was found in it; it may hold scanned pages only. SLUICE_OCR=tesseract has such pages read; where it "
        "is on already, nothing legible was found."
    ),
    "encrypted": "It is protected by a password. Remove the password and put it back.",
    "corrupt": "It is damaged or cut off: its parser could not read it. Replace it with a whole copy.",
    "binary": f"It is neither text nor a known document format. Supported: {SUPPORTED}.",
    "unsupported": f"This format cannot be read. Convert it; supported: {SUPPORTED}.",
    "image": (
        "It is a picture. SLUICE_OCR=tesseract has the text in PNG, JPEG, GIF, TIFF and WebP pictures read. "
        f"Supported without it: {SUPPORTED}."
    ),
    "archive": (
        "It is an archive of files (zip, tar, 7z, rar), and those are not opened. Unpack it and put the files here. A "
        "zip that lies in a folder or bucket itself is opened where an include glob names its members: *.zip!/"
    ),
    "zip_bomb": (
        "It unpacks to far more than a document holds, so it was not opened. If it is genuine, put it here unpacked, "
        "or save it as PDF or text."
    ),
    "too_deep": "Its parts are nested in each other more deeply than in any document. Save it as PDF or text.",
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

# Not a property of the bytes: the same document may be read on another day without having changed.
CIRCUMSTANTIAL = frozenset(
    {
        "not_kept",
        "unforeseen",
        "vanished",
        "permission",
        "archived",
        "slow",
        "refused",
        "unavailable",
        "address",
        "certificate",
        "redirects",
        "changing",
        "timeout",
        "crashed",
        "out_of_memory",
    }
)


def unreadable(code: str) -> ExtractionError:
    return ExtractionError(code, REASONS[code])
