"""The worker process: reads documents from stdin and writes their text to stdout, until stdin ends.

Started by `process.py` as `python -m sluice.parsing.isolation.worker <limits as JSON>`. A request is a frame `{mime,
name, timeout_s}` with the document as its body. An answer is `{title, mime, metadata, page_starts, resident_mb}` with
the text as its body, or `{failure: code}`, or `{missing: module}` if the installation lacks a module. The first answer,
before any request, says that the worker is ready.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from sluice.errors import ExtractionError
from sluice.parsing.isolation import frames
from sluice.parsing.isolation.landlock import enclose
from sluice.parsing.isolation.limits import ResidentMemory, allow_cpu, confine, drop_root


def main() -> None:
    """Confines this process, then answers requests until stdin ends."""
    settings = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # output of libraries must not break the frames
    folder, resident = Path(settings["folder"]), ResidentMemory()
    alone = confine(settings["memory_mb"])
    enclosed = enclose(folder, settings["readable"])
    from sluice.parsing.parsing import parse

    dropped = drop_root(folder)
    frames.write(answers, {"without_network": alone, "dropped_root": dropped, "enclosed": enclosed})
    while (request := frames.read(sys.stdin.buffer)) is not None:
        header, content = request
        allow_cpu(header["timeout_s"])
        try:
            parsed = parse(
                content, header["mime"], (settings["memory_mb"] << 20) // 4, settings["ocr_languages"], header["name"]
            )
            if len(parsed.text) > settings["max_text_chars"]:
                answer: dict[str, Any] = {"failure": "too_long"}
            else:
                answer = {
                    "title": parsed.title,
                    "mime": parsed.mime,
                    "metadata": parsed.metadata,
                    "page_starts": parsed.page_starts,
                }
        except ExtractionError as error:
            answer = {"failure": error.code}
        except MemoryError:
            answer = {"failure": "out_of_memory"}
        except RecursionError:
            answer = {"failure": "too_deep"}
        except ImportError as error:  # not an error of the document
            answer = {"missing": str(error.name)[:200]}
        except (ValueError, LookupError, TypeError):
            answer = {"failure": "corrupt"}
        body = parsed.text.encode("utf-8", "replace") if "mime" in answer else b""
        frames.write(answers, {**answer, "resident_mb": resident.mb()}, body)
    shutil.rmtree(folder, ignore_errors=True)  # the parent process may be gone


if __name__ == "__main__":
    main()
