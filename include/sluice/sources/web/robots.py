"""robots.txt (RFC 9309): which URLs may be fetched, and how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from protego import Protego

AGENT = "SluiceBot"
MAX_BYTES = 512_000  # RFC 9309, 2.5: read at least 500 KiB; the rest is ignored
MAX_DELAY_S = 10.0  # a longer crawl-delay is reduced to this


class Robots:
    """The rules of one host, from the text of its robots.txt; an empty text allows everything."""

    def __init__(self, text: str) -> None:
        from protego import Protego

        self._rules: Protego = Protego.parse(text)

    def allows(self, url: str) -> bool:
        """Returns whether Sluice's user agent may fetch the URL."""
        return bool(self._rules.can_fetch(url, AGENT))

    def delay_s(self, at_least_s: float) -> float:
        """Returns the seconds between two requests."""
        requested = self._rules.crawl_delay(AGENT)
        rate = self._rules.request_rate(AGENT)
        if requested is None and rate is not None and rate.requests:
            requested = rate.seconds / rate.requests
        return max(at_least_s, min(float(requested or 0.0), MAX_DELAY_S))


def place(url: str) -> str:
    """Returns the URL of robots.txt for `url`."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/robots.txt"
