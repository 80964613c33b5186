"""Human-readable sizes."""

from __future__ import annotations


def size_in_words(size_bytes: int) -> str:
    """Formats a size as `1.2 MB`, in decimal units."""
    value, unit = float(size_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{size_bytes} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
