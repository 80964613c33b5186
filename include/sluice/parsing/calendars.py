"""Invitations and address cards (RFC 5545, RFC 6350) as text: the properties that people read."""

from __future__ import annotations

import re

_BEGINS = ("BEGIN:VCALENDAR", "BEGIN:VCARD")
_SHOWN = frozenset(
    {
        "SUMMARY", "DESCRIPTION", "LOCATION", "DTSTART", "DTEND", "DUE", "ORGANIZER", "ATTENDEE", "COMMENT", "STATUS",
        "CATEGORIES", "CONTACT", "RRULE", "URL", "FN", "ORG", "TITLE", "ROLE", "TEL", "EMAIL", "ADR", "BDAY", "NOTE",
    }
)  # fmt: skip
_FOLD = re.compile(r"\r?\n[ \t]")
_NAME = re.compile(r'CN=(?:"([^"]*+)"|([^;:]*+))', re.I)
_ESCAPE = re.compile(r"\\([nN,;\\])")


def is_calendar(text: str) -> bool:
    return text.lstrip().upper().startswith(_BEGINS)


def calendar_text(text: str) -> str:
    """Returns one line per property, `Summary: …`; leaves out identifiers, photographs and time zones."""
    lines = []
    in_zone = False
    for line in _FOLD.sub("", text).splitlines():
        head, _, value = line.partition(":")
        name, _, parameters = head.rpartition(".")[2].partition(";")
        if name.upper() in ("BEGIN", "END") and value.strip().upper() == "VTIMEZONE":
            in_zone = name.upper() == "BEGIN"
        if in_zone or name.upper() not in _SHOWN or not value.strip():
            continue
        person = _NAME.search(parameters)
        shown = _ESCAPE.sub(lambda match: "\n" if match[1] in "nN" else match[1], value)
        shown = f"{person[1] or person[2]} {shown}" if person else shown
        lines.append(f"{name.capitalize()}: {' '.join(shown.replace(';', ' ').split())}")
    return "\n".join(lines)
