"""No parser drops text without a word, and what is no text does not become any. Every file is made here."""

from __future__ import annotations

import base64
import io
import random
import time
from collections.abc import Iterator

import pytest
from docx import Document as Docx

from sluice.parsing.coverage import completed
from sluice.parsing.embedded import without_data_addresses
from sluice.parsing.extractor import IsolatedExtractor
from sluice.parsing.html import html_blocks, html_for_parser
from sluice.parsing.rst import rst_for_parser
from unit.parsing_fixtures import extractor, one, text, zipped

PICTURE = "data:image/png;base64," + base64.b64encode(random.Random(1).randbytes(3000)).decode()
SHEET = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
STRICT_WORD = "http://purl.oclc.org/ooxml/wordprocessingml/main"
DRAW = "http://schemas.openxmlformats.org/drawingml/2006/main"


@pytest.fixture(scope="module")
def opened() -> Iterator[IsolatedExtractor]:
    with extractor() as built:
        yield built


# --- HTML ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [55, 62, 5_000])
@pytest.mark.parametrize(
    "tags", [("<div>", "</div>"), ("<table><tr><td>", "</td></tr></table>"), ("<font>", "</font>")]
)
def test_no_depth_of_html_hides_text(opened: IsolatedExtractor, depth: int, tags: tuple[str, str]) -> None:
    page = f"<html><body><p>shallow</p>{tags[0] * depth}deepest words{tags[1] * depth}<p>after</p></body></html>"
    result = text(opened, page, "x.html")
    assert [result.count(word) for word in ("shallow", "deepest words", "after")] == [1, 1, 1]
    assert result.index("shallow") < result.index("deepest")


def test_a_newsletter_of_nested_tables_keeps_its_structure(opened: IsolatedExtractor) -> None:
    inner = "<h2>Offers</h2><p>first words</p><ul><li>one</li></ul><table><tr><th>a</th><th>b</th></tr><tr><td>1<td>2"
    page = "<html><body>" + "<table><tr><td>" * 25 + inner + "</table>" * 26
    assert text(opened, page, "x.html") == "## Offers\n\nfirst words\n\n- one\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n"


@pytest.mark.parametrize("tag", ["form", "nav", "header", "footer", "aside", "dialog", "main", "fieldset"])
def test_every_region_of_a_page_is_kept(opened: IsolatedExtractor, tag: str) -> None:
    part = f"<html><body><p>before</p><{tag}><p>inside words</p></{tag}><p>after</p></body></html>"
    assert text(opened, part, "x.html").split() == ["before", "inside", "words", "after"]
    assert text(opened, f"<html><body><{tag}>all of it</{tag}></body></html>", "x.html").strip() == "all of it"


def test_tags_that_are_left_open_cost_no_text(opened: IsolatedExtractor) -> None:
    page = "<html><body><table><tr><th>head<td>cell<table><tr><td>inner</table></table><p>end"
    result = text(opened, page, "x.html")
    assert all(word in result for word in ("head", "cell", "inner", "end"))


def test_what_a_reader_does_not_see_is_no_text(opened: IsolatedExtractor) -> None:
    page = """<html><head><title>T</title><script type="application/ld+json">{"a": "ldword"}</script></head><body>seen
        <template>templated</template><style>.styled{}</style><div hidden>hiddenword<div>x</div></div>
        <p style="DISPLAY : none">unshown</p><input type="hidden" value="token"><script>go()</script></body></html>"""
    assert text(opened, page, "x.html").strip() == "seen"
    assert html_blocks(page) == ["seen"]


@pytest.mark.parametrize(
    "page",
    [
        f'<p>short words</p><img alt="a duck" src="{PICTURE}">',
        f"<p>short words</p><img alt='a duck' srcset='{PICTURE} 2x'>",
        f'<p style="background: url({PICTURE})">short words</p><a href="{PICTURE}">a duck</a>',
        f"<style>p {{background: url({PICTURE})}}</style><p>short words</p>a duck",
        '<p>short words</p><svg viewBox="0 0 9 9"><title>a duck</title><path d="M0 0L9 9Z"/><style>p{}</style></svg>',
    ],
)
def test_pictures_inside_of_a_page_are_no_text(opened: IsolatedExtractor, page: str) -> None:
    result = text(opened, f"<html><body>{page}</body></html>", "x.html")
    assert "short words" in result and "a duck" in result
    assert "base64" not in result and "M0" not in result and len(result) < 60


def test_text_in_a_drawing_is_kept(opened: IsolatedExtractor) -> None:
    page = "<html><body>before <svg><g><text>drawn <tspan>words</tspan></text></g></svg> after</body></html>"
    assert text(opened, page, "x.html").split() == ["before", "drawn", "words", "after"]


def test_a_formula_stands_once(opened: IsolatedExtractor) -> None:
    formula = (
        "<mrow><mi>mass</mi><mo>=</mo><mn>42</mn></mrow><annotation encoding='application/x-tex'>mass=42</annotation>"
    )
    page = f"<html><body><p>where <math><semantics>{formula}</semantics></math> holds</p></body></html>"
    assert text(opened, page, "x.html") == "where mass=42 holds\n"


@pytest.mark.parametrize(
    "page",
    [
        *(
            "<a ",
            '<a b=">" ',
            '<a b="',
            "<a b='",
            "<!--",
            "<![CDATA[",
            "<",
            "<td>",
            "<table>",
            "<table><tr><td>x",
            "<svg>",
        ),
        *("<style>", "<p hidden>", "<math>x</math", '<img src="data:,x" ', "&#1", "<svg data:", "<a" + " " * 50),
    ],
)
def test_no_page_holds_the_scanner_up(page: str) -> None:
    """A linear scanner takes a fifth of a second here; one that looks twice at every pair of tags, a minute."""
    before = time.process_time()
    html_blocks(page * (120_000 // len(page)))
    html_for_parser("data:" + page * (120_000 // len(page)))
    assert time.process_time() - before < 5


# --- office -------------------------------------------------------------------------------------------------


def docx(space: str, parts: dict[str, str], body: str = "<w:p><w:r><w:t>body words</w:t></w:r></w:p>") -> bytes:
    main = "officeDocument.wordprocessingml.document.main+xml"
    return zipped(
        {
            "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" ContentType='
            '"application/xml"/><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
            'relationships+xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-'
            f'{main}"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r" Type="{RELATIONS}/'
            'officeDocument" Target="word/document.xml"/></Relationships>',
            "word/document.xml": f'<w:document xmlns:w="{space}"><w:body>{body}</w:body></w:document>',
            **{
                f"word/{name}.xml": f'<w:{root} xmlns:w="{space}"><w:p><w:r><w:t>{words}</w:t></w:r></w:p></w:{root}>'
                for name, (root, words) in {
                    name: (name.rstrip("0123456789").replace("header", "hdr").replace("footer", "ftr"), words)
                    for name, words in parts.items()
                }.items()
            },
        }
    )


@pytest.mark.parametrize("space", [WORD, STRICT_WORD])
def test_all_parts_of_docx(opened: IsolatedExtractor, space: str) -> None:
    parts = ("header1", "header12", "footer3", "footnotes", "endnotes", "comments")
    content = docx(
        space, {name: f"words of {name}" for name in parts} | {"glossary1": "placeholder", "styles": "style"}
    )
    result = one(opened, content, "x.docx")
    assert all(f"words of {name}" in result.text for name in parts)
    assert "style" not in result.text and result.text.startswith("body words")
    assert result.metadata is not None and result.metadata["words_recovered"] >= 4


def test_headers_and_footers_of_every_section(opened: IsolatedExtractor) -> None:
    document, buffer = Docx(), io.BytesIO()
    for number in (1, 2):
        section = document.sections[0] if number == 1 else document.add_section()
        section.header.is_linked_to_previous = section.footer.is_linked_to_previous = False
        section.header.paragraphs[0].text, section.footer.paragraphs[0].text = f"head {number}x", f"foot {number}x"
        document.add_paragraph(f"body {number}x")
    document.save(buffer)
    result = text(opened, buffer.getvalue(), "x.docx")
    assert [result.count(f"{part} {n}x") for part in ("head", "foot", "body") for n in (1, 2)] == [1] * 6


def test_boxes_insertions_and_controls_of_docx(opened: IsolatedExtractor) -> None:
    run = "<w:r><w:t>{}</w:t></w:r>"
    box = f"<w:txbxContent><w:p>{run.format('boxed words')}</w:p></w:txbxContent>"
    body = (
        f"<w:p>{run.format('plain')}<w:r><w:pict>{box}</w:pict></w:r></w:p>"
        f"<w:p><w:ins>{run.format('inserted')}</w:ins><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del></w:p>"
        f"<w:sdt><w:sdtContent><w:p>{run.format('controlled')}</w:p></w:sdtContent></w:sdt>"
    )
    result = text(opened, docx(WORD, {}, body), "x.docx")
    assert [result.count(word) for word in ("plain", "boxed words", "inserted", "controlled", "deleted")] == [
        1,
        1,
        1,
        1,
        0,
    ]


def test_a_body_that_the_parser_reads_whole_gets_nothing_added(opened: IsolatedExtractor) -> None:
    document, buffer = Docx(), io.BytesIO()
    document.add_heading("Some heading", 1)
    document.add_paragraph("A *starred* and un_der_scored line with m2 and 3,5 %.")
    document.add_table(2, 2).cell(1, 1).text = "cell | bar"
    document.save(buffer)
    result = one(opened, buffer.getvalue(), "x.docx")
    assert result.metadata is not None and "words_recovered" not in result.metadata


def test_notes_comments_and_diagrams_of_pptx(opened: IsolatedExtractor) -> None:
    def part(root: str, words: str) -> str:
        return f'<p:{root} xmlns:p="x" xmlns:a="{DRAW}"><a:p><a:r><a:t>{words}</a:t></a:r></a:p></p:{root}>'

    content = zipped(
        {
            "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"/>',
            "ppt/presentation.xml": "<p:presentation xmlns:p='x'/>",
            "ppt/slides/slide1.xml": part("sld", "slide words"),
            "ppt/notesSlides/notesSlide1.xml": part("notes", "spoken words"),
            "ppt/diagrams/data1.xml": part("data", "diagram words"),
            "ppt/comments/comment1.xml": "<p:cmLst xmlns:p='x'><p:cm><p:text>remarked</p:text></p:cm></p:cmLst>",
            "ppt/slideMasters/slideMaster1.xml": part("sldMaster", "Click to edit"),
        }
    )
    result = text(opened, content, "x.pptx")
    assert all(words in result for words in ("slide words", "spoken words", "diagram words", "remarked"))
    assert "Click" not in result


def xlsx(sheet: str, **parts: str) -> bytes:
    relation = f'<Relationship Id="{{0}}" Type="{RELATIONS}/{{1}}" Target="{{2}}"/>'
    return zipped(
        {
            "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" '
            'ContentType="application/xml"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
            f"{relation.format('r', 'officeDocument', 'xl/workbook.xml')}</Relationships>",
            "xl/workbook.xml": f'<workbook {SHEET} xmlns:r="{RELATIONS}"><sheets><sheet name="One" sheetId="1" '
            'r:id="r"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
            f"{relation.format('r', 'worksheet', 'worksheets/sheet1.xml')}</Relationships>",
            "xl/worksheets/sheet1.xml": f"<worksheet {SHEET}>{sheet}</worksheet>",
            **{f"xl/{name}1.xml": content for name, content in parts.items()},
        }
    )


@pytest.mark.parametrize("value", ["", "<v/>", "<v></v>"])
def test_formulas_without_a_value_are_told(opened: IsolatedExtractor, value: str) -> None:
    row = (
        '<row r="1"><c r="A1"><v>7</v></c>'
        f'<c r="B1"><f>IF(A1&lt;9,"low","high")</f>{value}</c><c r="C1"><f>A1*6</f><v>42</v></c>'
        f'<c r="D1"><f t="shared" si="0"/>{value}</c><c r="E1" t="str"><f>T(A1)</f>{value}</c></row>'
    )
    cells = ["7", '(not computed: =IF(A1<9,"low","high"))', "42", "(not computed)", "(not computed: =T(A1))"]
    result = text(opened, xlsx(f"<sheetData>{row}</sheetData>"), "x.xlsx").replace("&lt;", "<").replace("\\<", "<")
    assert " | ".join(cells) in result.replace("\\", "")


def test_comments_and_headers_of_a_sheet(opened: IsolatedExtractor) -> None:
    sheet = (
        '<sheetData><row r="1"><c r="A1"><v>7</v></c></row></sheetData><headerFooter><oddHeader>&amp;L&amp;"Arial,Bold"'
        "&amp;KFF0000head words&amp;RPage &amp;P</oddHeader></headerFooter>"
    )
    comment = "<comment><text><r><t>remarked</t></r></text></comment>"
    comments = f"<comments {SHEET}><commentList>{comment}</commentList></comments>"
    result = text(opened, xlsx(sheet, comments=comments), "x.xlsx")
    assert "remarked" in result and "head words" in result and "FF0000" not in result


def test_open_documents_keep_headers_and_deep_formatting(opened: IsolatedExtractor) -> None:
    names = ("office", "text", "style")
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names)
    deep = "<text:span>" * 70 + "deep words" + "</text:span>" * 70
    body = f"<office:body><office:text><text:p>body {deep}</text:p></office:text></office:body>"
    header = "<style:master-page><style:header><text:p>head words</text:p></style:header></style:master-page>"
    content = zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": f"<office:document-content {spaces}>{body}</office:document-content>",
            "styles.xml": f"<office:document-styles {spaces}>{header}</office:document-styles>",
        }
    )
    result = text(opened, content, "x.odt")
    assert "body deep words" in result and "head words" in result


# --- tables and markup --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_no_column_is_dropped(opened: IsolatedExtractor, name: str) -> None:
    sign = "," if name == "x.csv" else "\t"
    rows = [sign.join(f"{kind}{n}" for n in range(1500)) for kind in ("head", "cell")]
    result = text(opened, "\n".join(rows), name)
    assert "| head1499 |" in result and "| cell1499 |" in result


def test_the_last_column_of_a_simple_table_is_unbounded(opened: IsolatedExtractor) -> None:
    table = "===  ===\nkey  v\n===  ===\none  unbounded words\n\ntwo  a still longer cell of words\n===  ===\n"
    result = text(opened, f"Title\n=====\n\n{table}\nafter the table\n", "x.rst")
    assert "| one | unbounded words |" in result and "| two | a still longer cell of words |" in result
    assert "after the table" in result and result.count("unbounded") == 1
    assert rst_for_parser("Title\n=====\n\nwords\n") == "Title\n=====\n\nwords\n"


def test_what_the_parser_of_rst_drops_is_added(opened: IsolatedExtractor) -> None:
    page = """Title
=====

.. a comment that nobody sees

.. figure:: duck.png
   :width: 30

   captioned words

.. [1] footnoted words

.. sidebar:: aside

   sidebar words

.. list-table:: listed
   :header-rows: 1

   * - cellone
     - celltwo
"""
    result = text(opened, page, "x.rst")
    for words in ("captioned words", "footnoted words", "sidebar words", "cellone", "celltwo"):
        assert result.count(words) == 1, words
    assert "nobody" not in result and "header-rows" not in result


@pytest.mark.parametrize("page", ["<invoice/>", "<?xml version='1.0'?><a><b id='x1'/><c/></a>", "<invoice><b>"])
def test_names_of_elements_are_no_text(opened: IsolatedExtractor, page: str) -> None:
    assert one(opened, page, "x.xml").text == ""


def test_xml_keeps_what_people_read(opened: IsolatedExtractor) -> None:
    page = '<doc id="x7"><img alt="a duck" src="http://x/y"/><p>some words</p><f label="A label"/></doc>'
    assert text(opened, page, "x.xml").split("\n\n") == ["some words", "a duck", "A label"]
    assert text(opened, '<settings><item key="Colour" value="dark blue"/></settings>', "x.xml").split() == [
        "Colour",
        "dark",
        "blue",
    ]
    broken = "<doc><p>some words</p><br><![CDATA[more <words>]]></doc>"
    assert text(opened, broken, "x.xml").split() == ["some", "words", "more", "<words>"]


# --- what is no text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.md", "x.txt", "x.json", "x.ipynb.txt", "x.css"])
def test_data_addresses_are_no_text(opened: IsolatedExtractor, name: str) -> None:
    result = text(opened, f'few words ![a duck]({PICTURE}) [1]: <{PICTURE}> "{PICTURE}" end\n', name)
    assert result == 'few words ![a duck]() [1]: <> "" end\n'


@pytest.mark.parametrize(
    "words", ["data: 1,2,3", "see data:text/plain,hello in the standard", "mydata:x/y,z", "data:" * 9]
)
def test_what_only_looks_like_a_data_address_stays(words: str) -> None:
    assert without_data_addresses(words) == words


# --- the comparison -----------------------------------------------------------------------------------------


def test_blocks_that_are_there_are_not_added() -> None:
    parsed = "# A *head*ing\n\nfirst para\\_graph, [linked](http://x.org)\n\n| cell |\n| --- |\n"
    blocks = ["A heading", "first para_graph, linked", "cell", "for\u00admer"]
    assert completed(parsed, blocks[:3]).words == 0
    result = completed(parsed, blocks)
    assert (result.text, result.words) == (parsed + "\nformer\n", 1)


def test_known_words_in_another_order_are_another_block() -> None:
    assert completed("the head of it\n\nchapter two", ["the head of it", "chapter two", "head two"]).text == (
        "the head of it\n\nchapter two\n\nhead two\n"
    )


def test_a_ruin_is_replaced_by_the_whole_reading() -> None:
    assert completed("a few words", ["# Other", "text than these", "a few words"], is_whole=True).text == (
        "# Other\n\ntext than these\n\na few words\n"
    )
