"""Text of DOCX: every word in its place, tables as tables, and one thing that is not known costs the text."""

from __future__ import annotations

import struct
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from mhbridge.formats.document import FORMAT, Letter
from mhbridge.formats.document.blocks import Unread, as_text, as_xhtml
from mhbridge.formats.document.reading import read

TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
SPACES = (
    f'xmlns:w="{W}" xmlns:r="{R}" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    ' xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:v="urn:schemas-microsoft-com:vml"'
    ' xmlns:o="urn:schemas-microsoft-com:office:office"'
    ' xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"'
    ' xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"'
    ' xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
)
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"


def docx(body: str, *, main: str = MAIN, prolog: str = "", strict: bool = False, **parts: str) -> bytes:
    """A DOCX with a body, and other parts by their kind (`styles`, `header-1` …)."""
    content = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">'
        f'<Override PartName="/word/document.xml" ContentType="{main}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="a" Type="{R}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f"{prolog}<w:document {SPACES}><w:body>{body}</w:body></w:document>",
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        + "".join(
            f'<Relationship Id="{name}" Type="{R}/{name.partition("_")[0]}" Target="{name}.xml"/>' for name in parts
        )
        + "</Relationships>",
    } | {f"word/{name}.xml": part.replace(">", f" {SPACES}>", 1) for name, part in parts.items()}
    if strict:
        content = {
            name: part.replace(W, "http://purl.oclc.org/ooxml/wordprocessingml/main").replace(
                R, "http://purl.oclc.org/ooxml/officeDocument/relationships"
            )
            for name, part in content.items()
        }
    return zipped(content)


def zipped(content: dict[str, str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    return made.getvalue()


def v(name: str, value: str) -> str:
    return f'<w:{name} w:val="{value}"/>'


def p(text: str, look: str = "") -> str:
    return f"<w:p><w:pPr>{look}</w:pPr>{r(text)}</w:p>"


def r(text: str, look: str = "") -> str:
    return f'<w:r><w:rPr>{look}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def cell(*inner: str, look: str = "") -> str:
    return f"<w:tc><w:tcPr>{look}</w:tcPr>{''.join(inner) or '<w:p/>'}</w:tc>"


def table(*rows: str) -> str:
    return f"<w:tbl><w:tblPr/><w:tblGrid/>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"


def item(text: str, level: int = 0, number: int = 1) -> str:
    return p(text, f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>')


def style(name: str, inner: str, kind: str = "paragraph", more: str = "") -> str:
    return f'<w:style w:type="{kind}" w:styleId="{name}" {more}>{inner}</w:style>'


def level(number: int, how: str, text: str, more: str = "") -> str:
    inner = v("start", "1") + v("numFmt", how) + more + v("lvlText", text)
    return f'<w:lvl w:ilvl="{number}">{inner}</w:lvl>'


def field(instruction: str, result: str = "", begin: str = "") -> str:
    shown = f'<w:r><w:fldChar w:fldCharType="separate"/></w:r>{result}' if result else ""
    return (
        f'<w:r><w:fldChar w:fldCharType="begin">{begin}</w:fldChar></w:r>'
        f"<w:r><w:instrText>{instruction}</w:instrText></w:r>"
        f'{shown}<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    )


def drawn(inner: str, kind: str = "wordprocessingShape", hint: str = "") -> str:
    return (
        f'<w:drawing><wp:inline><wp:docPr id="1" name="x" descr="{hint}"/><a:graphic><a:graphicData uri="urn:x/{kind}">'
        f"{inner}</a:graphicData></a:graphic></wp:inline></w:drawing>"
    )


def box(*inner: str) -> str:
    return f"<wps:wsp><wps:txbx><w:txbxContent>{''.join(inner)}</w:txbxContent></wps:txbx></wps:wsp>"


LISTS = (
    f'<w:numbering><w:abstractNum w:abstractNumId="0">{level(0, "decimal", "%1.")}{level(1, "lowerLetter", "%1%2)")}'
    f"{level(2, 'lowerRoman', '(%3)')}</w:abstractNum>"
    f'<w:abstractNum w:abstractNumId="1">{level(0, "bullet", "x")}{level(1, "hebrew1", "%2")}</w:abstractNum>'
    '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
    '<w:num w:numId="2"><w:abstractNumId w:val="0"/>'
    '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="7"/></w:lvlOverride></w:num>'
    '<w:num w:numId="3"><w:abstractNumId w:val="1"/></w:num></w:numbering>'
)
STYLES = (
    "<w:styles>"
    + style("Heading2", '<w:pPr><w:outlineLvl w:val="1"/></w:pPr>')
    + style("Own", v("basedOn", "Heading2"))
    + style("Hidden", "<w:rPr><w:vanish/></w:rPr>", "character")
    + style("Gone", '<w:rPr><w:strike w:val="true"/></w:rPr>')
    + style("Plain", '<w:rPr><w:strike w:val="0"/></w:rPr>', "character")
    + style("Twice", "<w:rPr><w:strike/></w:rPr>", "character")
    + style("Loop", v("basedOn", "Pool"))
    + style("Pool", v("basedOn", "Loop"))
    + style("Item", '<w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr>')
    + "</w:styles>"
)
TICKED = '<w:ffData><w:checkBox><w:default w:val="0"/><w:checked/></w:checkBox></w:ffData>'
SECTION = (
    '<w:sectPr><w:headerReference w:type="default" r:id="header_1"/><w:headerReference w:type="first" r:id="header_2"/>'
    '<w:footerReference w:type="default" r:id="footer_1"/>{}</w:sectPr>'
)

#: What is in the body, the other parts, and the text.
READ: dict[str, tuple[str, dict[str, str], str]] = {
    "paragraphs, breaks and tabs": (
        p("Dear Dr Example,")
        + f"<w:p>{r('a')}<w:r><w:tab/><w:t> b </w:t><w:br/></w:r>"
        + f"{r(' c')}<w:r><w:noBreakHyphen/><w:t>d</w:t></w:r></w:p>",
        {},
        "Dear Dr Example,\na\tb\n c\u2011d",
    ),
    "soft hyphens": (p("para\xadcetamol 50\xad100 mg"), {}, "paracetamol 50-100 mg"),
    "headings": (
        p("One", v("pStyle", "Own")) + p("Two", v("outlineLvl", "0")) + p("x", v("outlineLvl", "9")),
        {"styles": STYLES},
        "One\n\nTwo\nx",
    ),
    "a table": (
        table(cell(p("Drug")) + cell(p("Dose")), cell(p("A"), p("B")) + cell(), cell() + cell(p("10 mg"))),
        {},
        "Drug | Dose\nA; B |\n | 10 mg",
    ),
    "cells that are merged": (
        table(
            cell(p("A"), look=v("vMerge", "restart")) + cell(p("1")) + cell(p("x")),
            cell(look="<w:vMerge/>") + cell(p("2"), look=v("gridSpan", "2")),
            cell(p("B")) + cell(p("3")) + cell(p("y")),
        ),
        {},
        "A | 1 | x\n | 2 |\nB | 3 | y",
    ),
    "a table in a cell": (
        table(cell(p("Out")) + cell(table(cell(p("a")) + cell(p("b"))), p("after"))),
        {},
        "Out\na | b\nafter",
    ),
    "a hidden row": (
        table(cell(p("a")), f"<w:trPr><w:hidden/></w:trPr>{cell(p('b'))}"), {}, "a",
    ),
    "lists": (
        item("a") + item("b") + item("c", 1) + item("d", 1) + item("e", 2) + item("f") + item("g", 1)
        + item("h", 0, 2) + item("i", 0, 3) + item("j", 1, 3) + item("k", 0, 0) + p("l", v("pStyle", "Item")),
        {"numbering": LISTS, "styles": STYLES},
        "1. a\n2. b\n  2a) c\n  2b) d\n    (i) e\n3. f\n  3a) g\n7. h\n• i\n  • j\nk\n8. l",
    ),
    "raised, lowered and crossed out": (
        (f"<w:p>{r('10')}{r('9', v('vertAlign', 'superscript'))}{r('/L H')}"
        f"{r('2', v('position', '-6'))}{r('O ')}{r('5 mg', '<w:strike/>')}{r(' x', '<w:dstrike/>')}{r('10 mg')}</w:p>"),
        {},
        "10^9/L H_2O [crossed out: 5 mg x]10 mg",
    ),
    "hidden": (
        (f"<w:p>{r('a')}{r('b', '<w:vanish/>')}{r('c', v('rStyle', 'Hidden'))}"
        f"{r('d', v('rStyle', 'Hidden') + v('vanish', '0'))}</w:p>"),
        {"styles": STYLES},
        "ad",
    ),
    "crossed out by a style": (
        f"<w:p><w:pPr>{v('pStyle', 'Gone')}</w:pPr>{r('a')}{r('b', v('rStyle', 'Plain'))}</w:p>",
        {"styles": STYLES},
        "[crossed out: ab]",
    ),
    "signs": (
        '<w:p><w:r><w:sym w:font="Wingdings" w:char="F0FC"/><w:sym w:font="Webdings" w:char="F061"/></w:r>'
        + r("\uf0b3 ", '<w:rFonts w:ascii="Symbol"/>')
        + r("\uf041")
        + "</w:p>",
        {},
        "✓[symbol]≥ [symbol]",
    ),
    "fields": (
        (f"<w:p>{field('DATE', r('1 May'))} {field(' XE x ')}"
        f"{field('IF ' , r('of ' + '') + field('PAGE', r('2')))}"
        f"{field('FORMCHECKBOX', '', TICKED)}"
        f"<w:fldSimple w:instr='AUTHOR'>{r('Bea')}</w:fldSimple></w:p>"),
        {},
        "1 Mayof 2☒Bea",
    ),
    "what only wraps": (
        (f"<w:sdt><w:sdtPr/><w:sdtContent>{p('a')}</w:sdtContent></w:sdt><w:customXml>{p('b')}</w:customXml>"
        f"<w:p><w:hyperlink>{r('c')}</w:hyperlink><w:sdt><w:sdtContent>{r('d')}</w:sdtContent></w:sdt></w:p>"),
        {},
        "a\nb\ncd",
    ),
    "notes": (
        "<w:p>" + r("a") + '<w:r><w:footnoteReference w:id="2"/></w:r>' + r("b")
        + '<w:r><w:endnoteReference w:id="2"/></w:r></w:p>',
        {
            "footnotes": f'<w:footnotes><w:footnote w:id="0">{p("no")}</w:footnote>'
            f'<w:footnote w:id="2">{p(" see")}{p("more")}</w:footnote></w:footnotes>',
            "endnotes": f'<w:endnotes><w:endnote w:id="2">{p("end")}</w:endnote></w:endnotes>',
        },
        "a[1]b[endnote 1]\n[1] see\nmore\n[endnote 1] end",
    ),
    "headers and footers": (
        p("x") + SECTION.format("<w:titlePg/>"),
        {"header_1": f"<w:hdr>{p('Later')}</w:hdr>", "header_2": f"<w:hdr>{p('Ward')}{p('Later')}</w:hdr>",
         "footer_1": f"<w:ftr>{p('End')}</w:ftr>"},
        "Ward\nLater\nx\nEnd",
    ),
    "a header of first pages that there is not": (
        p("x") + SECTION.format(""),
        {"header_1": f"<w:hdr>{p('Later')}</w:hdr>", "header_2": "<w:hdr></w:hdr>", "footer_1": "<w:ftr></w:ftr>"},
        "Later\nx",
    ),
    "a text box": (
        (f"<w:p>{r('a')}<w:r><mc:AlternateContent>"
        f"<mc:Choice Requires='wps'>{drawn(box(p('in'), p('side')))}</mc:Choice>"
        f"<mc:Fallback><w:pict><v:shape><v:textbox><w:txbxContent>{p('in')}{p('side')}</w:txbxContent></v:textbox>"
        f"</v:shape></w:pict></mc:Fallback></mc:AlternateContent></w:r>{r('b')}</w:p>{p('c')}"),
        {},
        "ab\nin\nside\nc",
    ),
    "pictures": (
        (f"<w:p><w:r>{drawn('', 'picture', 'Logo')}{drawn('')}"
        "<w:pict><v:shape><v:imagedata/></v:shape></w:pict><w:pict><v:rect o:hr='t'/></w:pict></w:r></w:p>"),
        {},
        "[drawing: Logo][drawing not included][picture not included]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_every_word_is_read_in_its_place(case: str) -> None:
    body, parts, text = READ[case]
    assert as_text(read(TYPE, docx(body, **parts))[0]) == text


def test_the_strict_kind_is_read_too() -> None:
    strict = docx(p("a"), strict=True)
    assert as_text(read(TYPE, strict)[0]) == "a"


def test_a_table_stays_one() -> None:
    made = docx(
        table(
            "<w:trPr><w:tblHeader/></w:trPr>" + cell(p("Drug &amp; dose"), look=v("gridSpan", "2")),
            cell(p("A"), look=v("vMerge", "restart")) + cell(p("1")),
            cell(look="<w:vMerge/>") + cell(p("2")),
        )
        + p("Two", v("outlineLvl", "0"))
        + item("x &lt; 5"),
        numbering=LISTS,
    )
    assert as_xhtml(read(TYPE, made)[0]) == (
        '<table><tbody><tr><th colspan="2"><p>Drug &amp; dose</p></th></tr><tr><td rowspan="2"><p>A</p></td>'
        "<td><p>1</p></td></tr><tr><td><p>2</p></td></tr></tbody></table><h1>Two</h1><p>1. x &lt; 5</p>"
    )


CHANGED = "it has changes that nobody has accepted or refused"
UNKNOWN = "it has something that is not known here"
PACKED = "its package is damaged, encrypted or too large"
PART = "a part of its package is damaged, too large, or not the XML that it should be"
#: What is in the body, the other parts, and why it is not read.
UNREAD: dict[str, tuple[str, dict[str, str], str]] = {
    "put in": (f"<w:p><w:ins>{r('10 mg')}</w:ins></w:p>", {}, CHANGED),
    "struck out": ("<w:p><w:del><w:r><w:delText>5 mg</w:delText></w:r></w:del></w:p>", {}, CHANGED),
    "a paragraph put in": (p("a", "<w:rPr><w:ins/></w:rPr>"), {}, CHANGED),
    "a row struck out": (table(f"<w:trPr><w:del/></w:trPr>{cell(p('a'))}"), {}, CHANGED),
    "moved": (f"<w:p><w:moveTo>{r('a')}</w:moveTo></w:p>", {}, CHANGED),
    "changed in a header": (
        p("x") + SECTION.format(""),
        {"header_1": f"<w:hdr><w:p><w:ins>{r('a')}</w:ins></w:p></w:hdr>"},
        CHANGED,
    ),
    "commented": ("<w:p><w:commentRangeStart/></w:p>", {}, "it has comments"),
    "another document": ("<w:altChunk/>", {}, "a part of it is another document"),
    "a formula": ("<w:p><m:oMath/></w:p>", {}, "it has a formula"),
    "an object": ("<w:p><w:r><w:object/></w:r></w:p>", {}, "it has an object of another program in it"),
    "bound": ("<w:sdt><w:sdtPr><w:dataBinding/></w:sdtPr></w:sdt>", {}, "it has a field that is filled from elsewhere"),
    "a chart": (f"<w:p><w:r>{drawn('', 'chart')}</w:r></w:p>", {}, "it has a chart or a diagram"),
    "drawn words": (
        "<w:p><w:r><w:pict><v:shape><v:textpath string='DRAFT'/></v:shape></w:pict></w:r></w:p>",
        {},
        "it has words that are drawn",
    ),
    "ruby": ("<w:p><w:r><w:ruby/></w:r></w:p>", {}, UNKNOWN),
    "unknown in a paragraph": ("<w:p><w:new/></w:p>", {}, UNKNOWN),
    "unknown in the body": ("<w:p/><a:new/>", {}, UNKNOWN),
    "a choice of nothing": ("<w:p><w:r><mc:AlternateContent/></w:r></w:p>", {}, UNKNOWN),
    "a choice of words": (
        (f"<w:p><w:r><mc:AlternateContent><mc:Choice>{drawn(box(p('5 mg')))}</mc:Choice><mc:Fallback><w:t>10 mg</w:t>"
        "</mc:Fallback></mc:AlternateContent></w:r></w:p>"),
        {},
        "it has something that programs show in different words",
    ),
    "a field without a result": (f"<w:p>{field('SYMBOL 252')}</w:p>", {}, "it has a field that shows no text"),
    "a list to choose from": (f"<w:p>{field('FORMDROPDOWN', r('a'))}</w:p>", {}, "it has a field that shows no text"),
    "a field that is open": (
        '<w:p><w:r><w:fldChar w:fldCharType="begin"/></w:r></w:p>', {}, "a field of it does not end",
    ),
    "a field that is closed": (
        '<w:p><w:r><w:fldChar w:fldCharType="end"/></w:r></w:p>', {}, "a field of it does not begin",
    ),
    "stale": (
        '<w:p><w:fldSimple w:dirty="1"/></w:p>', {}, "it has fields that are to be worked out when it is opened",
    ),
    "all stale": (
        p("a"), {"settings": "<w:settings><w:updateFields/></w:settings>"},
        "it has fields that are to be worked out when it is opened",
    ),
    "merged over text": (
        table(cell(p("A"), look=v("vMerge", "restart")), cell(p("B"), look="<w:vMerge/>")), {},
        "a table of it has cells that are merged in a way that is not plain",
    ),
    "merged sideways": (
        table(cell(p("A"), look=v("hMerge", "restart"))), {},
        "a table of it has cells that are merged in a way that is not plain",
    ),
    "too wide": (table(cell(look=v("gridSpan", "9999999999"))), {}, "a table of it is too wide"),
    "cells side by side": (table(cell(look='<w:gridSpan w:val="99"/>') * 3), {}, "a table of it is too wide"),
    "fields in fields": (
        "<w:p>" + '<w:r><w:fldChar w:fldCharType="begin"/></w:r>' * 21 + "</w:p>", {}, UNKNOWN,
    ),
    "a table style that hides": (
        '<w:tbl><w:tblPr><w:tblStyle w:val="T"/></w:tblPr></w:tbl>',
        {
            "styles": "<w:styles>"
            + style("T", "<w:tblStylePr><w:rPr><w:vanish/></w:rPr></w:tblStylePr>", "table")
            + "</w:styles>"
        },
        "a table of it hides or crosses out text in a way that is not plain",
    ),
    "crossed out twice": (
        f"<w:p><w:pPr>{v('pStyle', 'Gone')}</w:pPr>{r('a', v('rStyle', 'Twice'))}</w:p>",
        {"styles": STYLES},
        "its styles hide or cross out text in a way that is not plain",
    ),
    "styles in a circle": (
        p("a", v("pStyle", "Loop")), {"styles": STYLES}, "its styles are based on each other",
    ),
    "a note that is missing": (
        '<w:p><w:r><w:footnoteReference w:id="2"/></w:r></w:p>', {}, "a note of it is missing",
    ),
    "a note of a note": (
        '<w:p><w:r><w:footnoteReference w:id="1"/></w:r></w:p>',
        {"footnotes": '<w:footnotes><w:footnote w:id="1"><w:p><w:r><w:footnoteReference w:id="1"/><w:footnoteReference'
                      ' w:id="2"/></w:r></w:p></w:footnote></w:footnotes>'},
        "a note of it has a note",
    ),
    "a header that is missing": (p("x") + SECTION.format(""), {}, "a part of its package is missing"),
    "a part that is broken": (p("x"), {"styles": "<w:styles><w:style>"}, PART),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREAD)
def test_what_could_not_be_placed_costs_the_text_and_says_so(case: str) -> None:
    body, parts, reason = UNREAD[case]
    with pytest.raises(Unread) as unread:
        read(TYPE, docx(body, **parts))
    assert unread.value.reason == reason


def _traversal() -> bytes:
    return zipped({"[Content_Types].xml": "<Types/>", "../../etc/passwd": "x"})


def _lying_length() -> bytes:
    made = bytearray(docx(p("a")))
    at = made.index(b"PK\x01\x02")
    struct.pack_into("<L", made, at + 24, 1)
    return bytes(made)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "not a package": (b"PK\x03\x04x", PACKED),
    "cut off": (docx(p("a"))[:-30], PACKED),
    "a way out": (_traversal(), PACKED),
    "a bomb": (docx(p("a"), styles=f"<w:styles>{' ' * 60_000_000}</w:styles>"), PACKED),
    "a lie about its length": (_lying_length(), PACKED),
    "packed again": (zipped({"word/document.xml": "PK\x03\x04"}), PACKED),
    "nothing in it": (zipped({}), "it is no document of a word processor, or one with macros"),
    "macros": (
        docx(p("a"), main="application/vnd.ms-word.document.macroEnabled.main+xml"),
        "it is no document of a word processor, or one with macros",
    ),
    "entities": (docx(p("&e;"), prolog='<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'), PART),
    "too deep": (docx("<w:customXml>" * 200 + "</w:customXml>" * 200), PART),
    "too many": (docx("<w:p/>" * 60_000), PART),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_was_made_to_harm_is_not_read(case: str) -> None:
    body, reason = HOSTILE[case]
    with pytest.raises(Unread) as unread:
        read(TYPE, body)
    assert unread.value.reason == reason


def test_it_may_lie_in_a_zip_file_with_its_index() -> None:
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("LET_7.csv", "No\n7\n")
        archive.writestr("LET_7.docx", docx(p("a")))
    options = {"letter": "LET_{no}.*", "index": "LET_{no}.csv", "columns": ["No"], "control_id": "No"}
    source = FORMAT.declare("Europe/London", "", options)
    ((letter, _),) = FORMAT.messages(made.getvalue(), [source])
    assert isinstance(letter, Letter)
    assert as_text(read(TYPE, letter.content.body)[0]) == "a"


def test_a_damaged_one_is_read_whole_or_not_at_all() -> None:
    whole = (Path(__file__).parents[2] / "fixtures/example-liaison/letters/docx.mime").read_bytes()
    body = whole[whole.index(b"PK\x03\x04") :]
    text = as_text(read(TYPE, body[: body.rindex(b"PK\x05\x06") + 22])[0])
    assert "Sertraline | 50 mg | in the morning" in text
    for at in range(0, len(body), 97):
        broken = bytearray(body)
        broken[at] ^= 0xFF
        try:
            assert as_text(read(TYPE, bytes(broken))[0]) == text
        except Unread:
            continue
