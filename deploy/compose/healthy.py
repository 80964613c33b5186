"""Requests a health address, for health checks. Exit code 0: healthy; 1: not healthy.

    healthy.py URL [PART ...]

The status must be 200. Each PART is a key of the JSON response whose "status" must be "healthy". Name at least one for
the API server, because it answers any unknown path with a web page and 200.
"""

import json
import sys
import urllib.request

TIMEOUT_S = 5.0


def main(url: str, *parts: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:  # noqa: S310 - the address comes from our own files
            report = json.load(reply) if parts else {}
    except (OSError, ValueError) as error:
        print(f"{url}: {error}")
        return 1
    unhealthy = [part for part in parts if (report.get(part) or {}).get("status") != "healthy"]
    if unhealthy:
        print(f"{url}: not healthy: {', '.join(unhealthy)}")
    return 1 if unhealthy else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
