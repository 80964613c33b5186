"""Asks a health address, for health checks: exit code 0 when it is well, 1 when not.

    healthy.py URL [PART ...]

The answer must be 200. Each PART is a key of a JSON answer whose "status" must be "healthy". Name at least one for the
API server, which answers any unknown path with a web page and 200.
"""

import json
import sys
import urllib.request

TIMEOUT_S = 5.0


def main(url: str, *parts: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:  # noqa: S310 - the address is in our own files
            told = json.load(reply) if parts else {}
    except (OSError, ValueError) as error:
        print(f"{url}: {error}")
        return 1
    ill = [part for part in parts if (told.get(part) or {}).get("status") != "healthy"]
    if ill:
        print(f"{url}: not healthy: {', '.join(ill)}")
    return 1 if ill else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
