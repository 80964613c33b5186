"""The demo's default input, which exists on every machine: the descriptions of the installed Python distributions.

The first page of each long description becomes a Markdown file. The project's own docs and a few files of other formats
are added. All can be embedded within a minute. Files are rewritten only if their content has changed, so a second demo
has nothing to do.
"""

from __future__ import annotations

import csv
import html
import io
import re
from importlib.metadata import Distribution, distributions
from pathlib import Path

FIRST_PAGE_CHARS = 1_300


def make(folder: Path, docs: Path) -> int:
    """Writes the input below `folder`; returns the number of files. `docs`: the project's own documentation."""
    texts = descriptions()
    wanted = {f"packages/{name}.md": text.encode() for name, text in texts.items()}
    for path in sorted(docs.glob("*.md")):
        # A page that asks the demo would be the best answer to its own questions.
        if b'"collection": "demo"' not in path.read_bytes():
            wanted[f"docs/{path.name}"] = path.read_bytes()
    wanted |= other_formats(texts)
    for name, content in wanted.items():
        path = folder / name
        if not path.exists() or (path.suffix not in (".docx", ".pdf") and path.read_bytes() != content):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in wanted:
            path.unlink()
    return len(wanted)


def descriptions() -> dict[str, str]:
    """Distribution name → a heading, its summary and the first page of its long description."""
    texts: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        text = _long_description(distribution)
        if not name or len(text) < 200:
            continue
        first = text[:FIRST_PAGE_CHARS].rsplit("\n\n", 1)[0] if len(text) > FIRST_PAGE_CHARS else text
        summary = distribution.metadata["Summary"] or ""
        texts[re.sub(r"[^a-z0-9]+", "-", name.lower())] = f"# {name}\n\n{summary}\n\n{first.strip()}\n"
    return dict(sorted(texts.items()))


def _long_description(distribution: Distribution) -> str:
    _, _, body = (distribution.read_text("METADATA") or "").partition("\n\n")
    text = body if body.strip() else distribution.metadata["Description"] or ""
    return text.replace("\r\n", "\n").strip()


def other_formats(texts: dict[str, str]) -> dict[str, bytes]:
    names = list(texts)
    plain = [name for name in names if "<" not in texts[name]]  # HTML in README files would be shown as text
    chosen = [name for name in ("alembic", "tenacity", "pendulum") if name in plain] + plain
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["package", "summary"])
    writer.writerows([name, texts[name].split("\n")[2]] for name in names[:60])
    return {
        "formats/packages.csv": table.getvalue().encode(),
        f"formats/{chosen[0]}.html": _html(chosen[0], texts[chosen[0]]),
        f"formats/{chosen[1]}.docx": _docx(chosen[1], texts[chosen[1]]),
        f"formats/{chosen[2]}.pdf": _pdf(chosen[2], texts[chosen[2]]),
    }


def _html(name: str, text: str) -> bytes:
    paragraphs = "\n".join(f"<p>{html.escape(part)}</p>" for part in text.split("\n\n"))
    return f"<!doctype html><html><head><title>{name}</title></head><body>\n{paragraphs}\n</body></html>\n".encode()


def _docx(name: str, text: str) -> bytes:
    import docx

    document = docx.Document()
    document.add_heading(name, level=1)
    for part in text.split("\n\n"):
        document.add_paragraph(part)
    sink = io.BytesIO()
    document.save(sink)
    return sink.getvalue()


def _pdf(name: str, text: str) -> bytes:
    from fpdf import FPDF

    pdf = FPDF()
    pdf.set_title(name)
    pdf.set_font("Helvetica", size=11)
    for part in text.split("\n\n"):
        if pdf.page_no() == 0 or pdf.get_y() > 250:
            pdf.add_page()
        pdf.multi_cell(0, 6, part.encode("latin-1", "replace").decode("latin-1"))
        pdf.ln(3)
    return bytes(pdf.output())
