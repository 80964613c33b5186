"""robots.txt (RFC 9309): what may be fetched, and how slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from protego import Protego

AGENT = "SluiceBot"
MAX_BYTES = 512_000  # RFC 9309, 2.5: at least 500 KiB are to be read; what follows is not
MAX_DELAY_S = 10.0  # a crawl-delay beyond that is honoured as that


class Robots:
    """The rules of one host, from the text of its robots.txt; empty text allows everything."""

    def __init__(self, text: str) -> None:
        from protego import Protego

        self._rules: Protego = Protego.parse(text)

    def allows(self, url: str) -> bool:
        return bool(self._rules.can_fetch(url, AGENT))

    def delay_s(self, at_least_s: float) -> float:
        """Between two requests."""
        asked = self._rules.crawl_delay(AGENT)
        rate = self._rules.request_rate(AGENT)
        if asked is None and rate is not None and rate.requests:
            asked = rate.seconds / rate.requests
        return max(at_least_s, min(float(asked or 0.0), MAX_DELAY_S))


def place(url: str) -> str:
    """Where the rules for `url` are."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/robots.txt"
