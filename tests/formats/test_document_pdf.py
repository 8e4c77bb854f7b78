"""Text of tagged PDF: in the order that its writer says, where that is what a reader sees; else none, and why."""

from __future__ import annotations

import re
import struct
import sys
import zlib
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from mhbridge.formats.document.blocks import Unread, as_text, as_xhtml
from mhbridge.formats.document.reading import read

FIXTURES = Path(__file__).parents[2] / "fixtures/example-liaison/letters"
MARKED = "/MarkInfo<</Marked true>>"
FONT = (
    "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding/FirstChar 32/LastChar 255/Widths["
    + "500 " * 224
    + "]/FontDescriptor<</Type/FontDescriptor/Flags 32>>>>"
)


class Writer:
    """A PDF that is whole: objects, their table, a trailer (ISO 32000-1, 7.5)."""

    def __init__(self) -> None:
        self.objects: list[bytes] = []

    def add(self, text: str | bytes = "") -> int:
        self.objects.append(text if isinstance(text, bytes) else text.encode("latin-1"))
        return len(self.objects)

    def stream(self, data: bytes, more: str = "", *, packed: bool = False) -> int:
        data = zlib.compress(data) if packed else data
        more += "/Filter/FlateDecode" if packed else ""
        return self.add(f"<<{more}/Length {len(data)}>>stream\n".encode() + data + b"\nendstream")

    def written(self, trailer: str) -> bytes:
        made = b"%PDF-1.7\n"
        places: list[int] = []
        for number, text in enumerate(self.objects, 1):
            places.append(len(made))
            made += b"%d 0 obj\n%s\nendobj\n" % (number, text)
        table = "".join(f"{place:010} 00000 n \n" for place in places)
        head = f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n{table}trailer<</Size {len(places) + 1}{trailer}>>"
        return made + f"{head}\nstartxref\n{len(made)}\n%%EOF\n".encode()


def el(kind: str, *kids: Any, more: str = "", page: int = 0) -> tuple[str, tuple[Any, ...], str, int]:
    """A structure element: of others, and of numbers of marked content on a page."""
    return kind, kids, more, page


def pdf(
    *pages: str,
    tree: Any = None,
    root: str = MARKED,
    font: str = FONT,
    page: str = "",
    trailer: str = "",
    resources: str = "",
    objects: tuple[str, ...] = (),
    structure: str = "",
) -> bytes:
    """A PDF of such pages with such a structure. Objects that are given besides are number 4 and on."""
    made = Writer()
    for _ in range(3):
        made.add()
    for text in objects:
        made.add(text)
    font_at = made.add(font)
    page_numbers = []
    for content in pages:
        at = made.stream(content.encode("latin-1"))
        page_numbers.append(
            made.add(
                f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents {at} 0 R"
                f"/Resources<</Font<</F1 {font_at} 0 R>>{resources}>>{page}>>"
            )
        )

    def put(element: Any, parent: int) -> int:
        kind, kids, more, place = element
        own = made.add()
        said = " ".join(
            f"{put(kid, own)} 0 R" if isinstance(kid, tuple) else str(kid).replace("PAGE", f"{page_numbers[-1]} 0 R")
            for kid in kids
        )
        made.objects[own - 1] = (
            f"<</Type/StructElem/S/{kind}/P {parent} 0 R/Pg {page_numbers[place]} 0 R/K[{said}]{more}>>".encode(
                "latin-1"
            )
        )
        return own

    top = put(tree or el("Document", el("P", 0)), 3)
    made.objects[0] = f"<</Type/Catalog/Pages 2 0 R/StructTreeRoot 3 0 R{root}>>".encode()
    kids = " ".join(f"{at} 0 R" for at in page_numbers)
    made.objects[1] = f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode()
    made.objects[2] = f"<</Type/StructTreeRoot/K {top} 0 R{structure}>>".encode()
    return made.written("/Root 1 0 R" + trailer)


def t(number: int, text: str, x: float = 50, y: float = 700, size: float = 12, how: str = "") -> str:
    """Text of a number, at a place."""
    return f"/P<</MCID {number}>>BDC {loose(text, x, y, size, how)}EMC\n"


def loose(text: str, x: float = 50, y: float = 700, size: float = 12, how: str = "") -> str:
    return f"BT /F1 {size} Tf {how} {x} {y} Td ({text})Tj ET\n"


def table(*rows: tuple[Any, ...]) -> Any:
    return el(
        "Table", *(el("TR", *(el("TD", cell) if isinstance(cell, int) else cell for cell in row)) for row in rows)
    )


GRID = t(0, "Sertraline", 50, 700) + t(1, "50 mg", 200, 700) + t(2, "Olanzapine", 50, 680) + t(3, "10 mg", 200, 680)
RIGHT = t(99, "x" * 60, 50, 20)


def to_unicode(pairs: str, kind: str = "bfchar", width: str = "<00> <FF>") -> str:
    table_ = f"begincodespacerange {width} endcodespacerange 1 begin{kind} {pairs} end{kind}"
    return f"<</Length {len(table_)}>>stream\n{table_}\nendstream"


OWN_FONT = (
    "<</Type/Font/Subtype/TrueType/BaseFont/ABCDEF+{}/FirstChar 1/LastChar 40/Widths[" + "500 " * 40
    + "]/FontDescriptor<</Flags 4>>/ToUnicode 4 0 R{}>>"
)  # fmt: skip
WIDE_FONT = (
    "<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/Identity-H/ToUnicode 4 0 R/DescendantFonts["
    "<</Subtype/CIDFontType2/DW 500/W[1[400 600]3 4 500]>>]>>"
)


def span(actual: str, inner: str) -> str:
    return f"/P<</MCID 0>>BDC /Span<</ActualText({actual})>>BDC {inner} EMC EMC"


#: A PDF, and the text.
READ: dict[str, tuple[bytes, str]] = {
    "the order of the structure, not of the page": (
        pdf(t(1, "second", 50, 700) + t(0, "first", 50, 600), tree=el("Document", el("P", 0), el("P", 1))),
        "first\nsecond",
    ),
    "headings, groups and roles of its own": (
        pdf(
            t(0, "One") + t(1, "two", y=600),
            tree=el("Document", el("Sect", el("Heading", 0), el("Div", el("Body", 1)))),
            structure="/RoleMap<</Heading/Own/Own/H2/Body/P>>",
        ),
        "One\ntwo",
    ),
    "a table": (
        pdf(GRID, tree=el("Document", table((0, 1), (2, 3)))),
        "Sertraline | 50 mg\nOlanzapine | 10 mg",
    ),
    "a table whose content stands in another order": (
        pdf(t(2, "c", 50, 600) + t(0, "a", 50, 700) + t(1, "b", 200, 700), tree=table((0, 1), (2,))),
        "a | b\nc",
    ),
    "cells over rows and columns": (
        pdf(
            t(0, "a", 50, 690) + t(1, "b", 200, 700) + t(2, "c", 200, 680) + t(3, "wide", 50, 660),
            tree=el(
                "Table", el("TBody", el("TR", el("TH", 0, more="/A<</O/Table/RowSpan 2>>"), el("TD", 1)),
                            el("TR", el("TD", 2)), el("TR", el("TD", 3, more="/A[<</O/Table/ColSpan 2>>]"))),
            ),
        ),
        "a | b\n | c\nwide |",
    ),
    "lists": (
        pdf(
            "".join(t(at, text, x, y) for at, (text, x, y) in enumerate(
                [("1.", 50, 700), ("one", 80, 700), ("two", 80, 680), ("-", 90, 660), ("in", 99, 660)])),
            tree=el("L", el("LI", el("Lbl", 0), el("LBody", 1)),
                    el("LI", el("LBody", el("P", 2)), el("L", el("LI", el("Lbl", 3), el("LBody", 4))))),
        ),
        "1. one\ntwo\n  - in",
    ),
    "two columns": (
        pdf(
            t(0, "left one", 50, 700) + t(1, "right one", 320, 700) + t(2, "left two", 50, 680)
            + t(3, "right", 320, 680),
            tree=el("Document", el("P", 0, 2), el("P", 1, 3)),
        ),
        "left one\nleft two\nright one right",
    ),
    "a line that had no room, and one that was ended": (
        pdf(t(0, "y" * 88) + t(1, "long", y=680) + t(2, "new", y=660), tree=el("P", 0, 1, 2)),
        "y" * 88 + " long\nnew",
    ),
    "words parted by nothing but a gap": (
        pdf("/P<</MCID 0>>BDC BT /F1 10 Tf 50 700 Td [(50)-20(0)-400(mg)]TJ 60 0 Td (daily)Tj ET EMC"),
        "500 mg daily",
    ),
    "a soft hyphen and a hard one": (
        pdf(
            span("\\376\\377\\000h\\000a\\000l\\000f\\000\\255", loose("half-")) + t(1, "way well-", y=680)
            + t(2, "known", y=660),
            tree=el("P", 0, 1, 2),
        ),
        "halfway well-\nknown",
    ),
    "a hyphen that calls itself soft": (
        pdf(t(0, "\\001\\002") + t(1, "\\001", y=680), tree=el("P", 0, 1), font=OWN_FONT.format("Sans", ""),
            objects=(to_unicode("<01> <0031> <02> <00AD>"),)),
        "1-1",
    ),
    "raised and lowered": (
        pdf(
            t(0, "10") + t(1, "9", 62, 704, 7) + t(2, "/L ", 66, 700) + t(3, "H", 84, 700) + t(4, "2", 90, 698, 7)
            + t(5, "O", 94, 700) + t(6, "n", 102, 700) + t(7, "k", 108, 700),
            tree=el("P", 0, 1, 2, 3, 4, 5, 6, el("Span", 7, more="/A<</O/Layout/BaselineShift 3>>")),
        ),
        "10^9/L H_2O n^k",
    ),
    "crossed out": (
        pdf(
            t(0, "5 mg ", 50) + t(1, "10 mg", 100) + "50 704 m 74 704 l S 100 698 m 130 698 l S",
            tree=el("P", 0, 1),
        ),
        "[crossed out: 5 mg] 10 mg",
    ),
    "lines of a table in one path": (
        pdf(GRID + "40 690 300 1 re 40 670 300 1 re 40 670 1 40 re f", tree=table((0, 1), (2, 3))),
        "Sertraline | 50 mg\nOlanzapine | 10 mg",
    ),
    "inside of what shows": (pdf("q 40 690 100 30 re W* n " + t(0, "x ") + " Q"), "x"),
    "crossed out in words": (
        pdf(t(0, "5 mg"), tree=el("P", el("Span", 0, more="/A<</O/Layout/TextDecorationType/LineThrough>>"))),
        "[crossed out: 5 mg]",
    ),
    "headers and footers are artifacts": (
        pdf("/Artifact<</Type/Pagination>>BDC " + loose("Service", y=780) + "EMC " + t(0, "x")
            + "/Artifact BMC " + loose("Page 1", y=30) + "EMC"),
        "x",
    ),
    "a ligature without a character, and what it says": (
        pdf(
            span("fi", loose("\\003")),
            font=OWN_FONT.format("Sans", ""), objects=(to_unicode("<01> <0066>"),),
        ),
        "fi",
    ),
    "a ligature of its own": (
        pdf(t(0, "\\002\\001"), font=OWN_FONT.format("Sans", ""), objects=(to_unicode("<01> <00660069> <02> <006f>"),)),
        "ofi",
    ),
    "ranges": (
        pdf(
            t(0, "\\001\\002\\005\\006"), font=OWN_FONT.format("Sans", ""),
            objects=(to_unicode("<01> <03> <0061> <05> <06> [<0078> <0079007A>]", "bfrange"),),
        ),
        "abxyz",
    ),
    "signs of two bytes": (
        pdf(t(0, "\\000\\001\\000\\002"), font=WIDE_FONT,
            objects=(to_unicode("<0001> <03B1> <0002> <2264>", width="<0000> <FFFF>"),)),
        "α≤",
    ),
    "a font of signs": (
        pdf(t(0, "\\001\\002\\003"), font=OWN_FONT.format("Wingdings-Regular", ""),
            objects=(to_unicode("<01> <F0FC> <02> <0041> <03> <2022>"),)),
        "✓[symbol]•",
    ),
    "a picture": (
        pdf(
            t(0, "see") + "/Figure<</MCID 1>>BDC q 20 0 0 20 200 600 cm /I Do Q EMC",
            tree=el("Document", el("P", 0), el("Figure", 1, more="/Alt(A  chart)")),
            resources="/XObject<</I 4 0 R>>", objects=("<</Subtype/Image/Length 0>>stream\n\nendstream",),
        ),
        "see\n[picture: A chart]",
    ),
    "what groups nothing, as browsers write it": (
        pdf(
            t(0, "Count 10") + t(1, "9", 98, 704, 7) + t(2, "/L", 103),
            tree=el("P", el("NonStruct", 0), el("NonStruct", 1), el("NonStruct", el("NonStruct", 2))),
        ),
        "Count 10^9/L",
    ),
    "a link": (
        pdf(
            t(0, "see ") + t(1, "here", 80),
            tree=el("P", 0, el("Link", 1, "<</Type/OBJR/Obj 4 0 R>>")),
            page="/Annots[4 0 R]", objects=("<</Subtype/Link/Rect[0 0 1 1]>>",),
        ),
        "see here",
    ),
    "a note": (
        pdf(
            t(0, "a") + t(1, "1", 80, 100, 8) + t(2, "below", 90, 100, 8) + t(3, "b", 60),
            tree=el("P", 0, el("Note", el("Lbl", 1), el("P", 2)), 3),
        ),
        "a b\n1 below",
    ),
    "pages": (
        pdf(t(0, "one "), t(0, "two"), tree=el("P", 0, "<</Type/MCR/Pg PAGE/MCID 0>>")),
        "one two",
    ),
    "white on a painted row": (pdf("0 0 1 rg 40 690 200 30 re f 1 g " + t(0, "Dose")), "Dose"),
    "all that says where text stands": (
        pdf(
            "/P<</MCID 0>>BDC q .5 0 0 .5 0 0 cm BT /F1 24 Tf 14 TL 1 0 0 1 100 1400 Tm 1 Tc 2 Tw 90 Tz"
            " 0 Ts 0 Tr (a b)Tj T* (c)' 1 1 (d)\" 0 -30 TD [(e)]TJ ET Q EMC"
        ),
        "a b c d e",
    ),
}  # fmt: skip


def words(body: bytes) -> str:
    return as_text(read("application/pdf", body)[0])


def as_word_writes() -> bytes:
    """A file with a second section: an empty table, and a stream that is the table (7.5.8.4)."""
    whole = pdf(t(0, "x"))
    count = whole.count(b" 00000 n")
    places = [0, *(int(place) for place in re.findall(rb"\n(\d{10}) 00000 n", whole)), len(whole)]
    entries = b"".join(struct.pack(">BIB", place > 0, place, 0 if place else 255) for place in places)
    head = b"/Size %d/Root 1 0 R" % (count + 2)
    stream = b"%d 0 obj\n<</Type/XRef/W[1 4 1]%s/Length %d>>stream\n" % (count + 1, head, len(entries))
    made = whole + stream + entries + b"\nendstream\nendobj\n"
    first = int(whole.rpartition(b"startxref\n")[2].split()[0])
    trailer = b"xref\n0 0\ntrailer\n<<%s/Prev %d/XRefStm %d>>\nstartxref\n%d\n%%%%EOF"
    return made + trailer % (head, first, len(whole), len(made))


READ["as Word writes it"] = (as_word_writes(), "x")


@pytest.mark.parametrize("case", READ)
def test_what_the_writer_says_is_read(case: str) -> None:
    body, text = READ[case]
    assert words(body) == text


def test_a_table_stays_one() -> None:
    rows = el("Table", el("TR", el("TH", 0), el("TD", 1)), el("TR", el("TD", el("P", 2)), el("TD", 3)))
    assert as_xhtml(read("application/pdf", pdf(GRID, tree=el("Document", rows)))[0]) == (
        "<table><tbody><tr><th><p>Sertraline</p></th><td><p>50 mg</p></td></tr>"
        "<tr><td><p>Olanzapine</p></td><td><p>10 mg</p></td></tr></tbody></table>"
    )


UNTAGGED = "the PDF does not say in which order it is read (it is not tagged)"
OUTSIDE = "there are words in the PDF that its structure does not have"
UNSEEN = "there are words in the PDF that do not show"
COVERED = "something is painted over words of the PDF"
LYING = "the structure of the PDF is not what its pages show"
TWICE = "the structure of the PDF has something twice"
LAYERED = "the PDF has layers that may be hidden"
UNSAID = "a font of the PDF does not say which characters its signs are"
OTHER = "the PDF says other words than it shows"
ACTIVE = "the PDF does something when it is opened"
NOTED = "there is something on a page of the PDF that is no part of it: a note, a stamp, a field"
UNKNOWN = "the structure of the PDF has something that is not known here"
DAMAGED = "the PDF is damaged"
LIMITED = "the PDF is larger than a letter is"
X = t(0, "x")
TURNED = "there are words in the PDF that are turned"
DRAWN = "the PDF has a drawing with words in it"
TWO_THINGS = "a font of the PDF says two things of which characters its signs are"
DOES = "the PDF does something that is not known here"
SANS = OWN_FONT.format("Sans", "")
IMAGE = "<</Subtype/Image/Length 0>>stream\n\nendstream"
PICTURE: dict[str, Any] = {"resources": "/XObject<</I 4 0 R>>", "objects": (IMAGE,)}
FORM = "<</Subtype/Form/BBox[0 0 9 9]/Length {}>>stream\n{}\nendstream"


def form(text: str) -> str:
    return FORM.format(len(text), text)


UNREAD: dict[str, tuple[bytes, str]] = {
    # --- the document ---
    "not tagged": (pdf(loose("x"), root=""), UNTAGGED),
    "tagged, and not": (pdf(X, root="/MarkInfo<</Marked false>>"), UNTAGGED),
    "suspect": (
        pdf(X, root="/MarkInfo<</Marked true/Suspects true>>"),
        "the PDF says itself that its structure may be wrong",
    ),
    "layers": (pdf(X, root=MARKED + "/OCProperties<</OCGs[]>>"), LAYERED),
    "a form": (pdf(X, root=MARKED + "/AcroForm<</Fields[4 0 R]>>", objects=("<<>>",)), "the PDF is a form"),
    "XFA": (pdf(X, root=MARKED + "/AcroForm<</Fields[]/XFA(x)>>"), "the PDF is a form"),
    "JavaScript": (pdf(X, root=MARKED + "/OpenAction<</S/JavaScript/JS(x)>>"), ACTIVE),
    "JavaScript by its name": (pdf(X, root=MARKED + "/Names<</JavaScript<<>>>>"), ACTIVE),
    "files in it": (pdf(X, root=MARKED + "/Names<</EmbeddedFiles<<>>>>"), "the PDF has files in it"),
    "a page that acts": (pdf(X, page="/AA<<>>"), ACTIVE),
    "a note on it": (pdf(X, page="/Annots[4 0 R]", objects=("<</Subtype/FreeText/Contents(5 mg)>>",)), NOTED),
    "encrypted": (
        pdf(X, trailer="/ID[(a)(a)]/Encrypt<</Filter/Standard/V 1/R 2/O(" + "a" * 32 + ")/U(" + "a" * 32 + ")/P -1>>"),
        "the PDF is encrypted",
    ),
    "a page that is turned": (pdf(X, page="/Rotate 90"), TURNED),
    # --- text that is not in the structure, or does not show ---
    "words outside": (pdf(X + loose("not", y=600)), OUTSIDE),
    "words of no mark": (pdf(X + "/Span BMC " + loose("not", y=600) + " EMC"), OUTSIDE),
    "words that nobody names": (pdf(X + t(1, "not", y=600)), LYING),
    "an artifact in the middle": (
        pdf(X + t(1, "y", y=300) + "/Artifact BMC " + loose("not", y=500) + "EMC", tree=el("P", 0, 1)),
        OUTSIDE,
    ),
    "an artifact below the header": (
        pdf(t(0, "x", y=500) + "/Artifact BMC " + loose("allergy", y=620) + "EMC"),
        OUTSIDE,
    ),
    "nothing but artifacts": (pdf("/Artifact BMC " + loose("x", y=790) + "EMC", tree=el("Document")), OUTSIDE),
    "an artifact in the text": (pdf("/P<</MCID 0>>BDC /Artifact BMC " + loose("x", y=790) + "EMC EMC"), OUTSIDE),
    "invisible": (pdf(t(0, "x", how="3 Tr")), UNSEEN),
    "too small": (pdf(t(0, "x", size=1)), UNSEEN),
    "beside the page": (pdf(t(0, "x", 900)), UNSEEN),
    "white": (pdf("1 1 1 rg " + X), UNSEEN),
    "white on white": (pdf("1 g 40 690 200 30 re f " + X), UNSEEN),
    "nowhere": (pdf(("1" + "0" * 30 + " 0 0 1 0 0 cm ") * 12 + X), TURNED),
    "white in inks": (pdf("0 0 0 0 k " + X), UNSEEN),
    "cut off by what is round it": (pdf("40 690 20 30 re W n " + t(0, "50 mg")), UNSEEN),
    "behind a mask": (pdf("/G gs " + X, resources="/ExtGState<</G<</SMask<<>>>>>>"), UNSEEN),
    "clear": (pdf("/G gs " + X, resources="/ExtGState<</G<</ca 0>>>>"), UNSEEN),
    "turned": (pdf("/P<</MCID 0>>BDC BT /F1 12 Tf 0 1 -1 0 50 50 Tm (x)Tj ET EMC"), TURNED),
    "mirrored": (pdf("-1 0 0 1 300 0 cm " + X), TURNED),
    "painted over": (pdf(X + "0 g 40 690 100 30 re f"), COVERED),
    "a picture over it": (pdf(X + "/Artifact BMC q 40 0 0 30 40 690 cm /I Do Q EMC", **PICTURE), COVERED),
    "a cross over it": (pdf(t(0, "wide words") + "40 695 m 120 715 l S"), COVERED),
    "crossed out in part": (
        pdf(t(0, "5 mg 10 mg") + "50 704 m 70 704 l S"),
        "there are words in the PDF that are crossed out in part",
    ),
    "printed twice": (
        pdf(X + t(1, "x", 50.4), tree=el("P", 0, 1)),
        "there are words in the PDF that lie over each other, or from right to left",
    ),
    "a layer": (pdf("/OC/L BDC " + X + "EMC"), LAYERED),
    "a scan": (pdf(t(0, "x", how="0 Tr") + "600 0 0 800 0 0 cm /I Do", **PICTURE), "a page of the PDF is a picture"),
    "a picture outside": (
        pdf(X + "9 0 0 9 0 0 cm /I Do", **PICTURE),
        "there is a picture in the PDF that its structure does not have",
    ),
    "a drawing with words": (
        pdf(X + "/Artifact BMC /I Do EMC", resources="/XObject<</I 4 0 R>>", objects=(form("BT (x)Tj ET"),)),
        DRAWN,
    ),
    "a layer in a drawing": (
        pdf(
            X + "/I Do",
            resources="/XObject<</I 4 0 R>>",
            objects=("<</Subtype/Image/OC<<>>/Length 0>>stream\n\nendstream",),
        ),
        LAYERED,
    ),
    "a figure with words": (pdf(X, tree=el("Figure", 0)), DRAWN),
    # --- characters ---
    "a sign without a character": (pdf(t(0, "\\003"), font=SANS, objects=(to_unicode("<01> <0066>"),)), UNSAID),
    "a private character": (pdf(t(0, "\\001"), font=SANS, objects=(to_unicode("<01> <E001>"),)), UNSAID),
    "from right to left": (pdf(t(0, "\\001"), font=SANS, objects=(to_unicode("<01> <05D0>"),)), UNSAID),
    "a table of another table": (
        pdf(t(0, "\\001"), font=SANS, objects=(to_unicode("<01> <0041> /X usecmap"),)),
        UNSAID,
    ),
    "no table": (pdf(X, font=FONT.replace("/Encoding/WinAnsiEncoding", "")), UNSAID),
    "an encoding of its own": (
        pdf(X, font=FONT.replace("/WinAnsiEncoding", "<</BaseEncoding/WinAnsiEncoding/Differences[65/B]>>")),
        UNSAID,
    ),
    "two things of a sign": (
        pdf(X, font=FONT[:-2] + "/ToUnicode 4 0 R>>", objects=(to_unicode("<78> <0079>"),)),
        TWO_THINGS,
    ),
    "signs that are drawn": (pdf(X, font="<</Subtype/Type3>>"), "a font of the PDF draws its signs itself"),
    "no widths": (
        pdf(X, font="<</Subtype/Type1/Encoding/WinAnsiEncoding>>"),
        "a font of the PDF does not say how wide its signs are",
    ),
    "other words than it shows": (pdf(span("50 mg", loose("5 mg"))), OTHER),
    "other words in the structure": (pdf(t(0, "5 mg"), tree=el("P", 0, more="/ActualText(50 mg)")), OTHER),
    "other words in another": (
        pdf("/P<</MCID 0>>BDC /Span<</ActualText(x)>>BDC /Span<</ActualText(y)>>BDC " + loose("x") + "EMC EMC EMC"),
        "the PDF says two things of what its words are",
    ),
    # --- a structure that is not what the page shows ---
    "a number that is missing": (pdf(X, tree=el("P", 0, 1)), LYING),
    "a number twice in the structure": (pdf(X, tree=el("Document", el("P", 0), el("P", 0))), TWICE),
    "a number twice on the page": (pdf(X + t(0, "y", y=600)), TWICE),
    "rows that are not": (pdf(GRID, tree=table((0, 3), (2, 1))), LYING),
    "rows in another order": (pdf(GRID, tree=table((2, 3), (0, 1))), LYING),
    "cells in another order": (pdf(GRID, tree=table((1, 0), (2, 3))), LYING),
    "cells that push each other aside": (
        pdf(X, tree=el("Table", *(el("TR", el("TD", more="/A<</ColSpan 90/RowSpan 99>>")) for _ in range(3)))),
        "a table of it is too wide",
    ),
    "a cell as wide as nothing": (pdf(X, tree=table((el("TD", 0, more="/A<</ColSpan 0>>"),))), LYING),
    "a kind that nobody knows": (pdf(X, tree=el("Own", 0)), UNKNOWN),
    "a role that is itself": (pdf(X, tree=el("Own", 0), structure="/RoleMap<</Own/Two/Two/Own>>"), UNKNOWN),
    "a field in the structure": (
        pdf(X, tree=el("P", 0, "<</Type/OBJR/Obj 4 0 R>>"), objects=("<</Subtype/Widget>>",)),
        UNKNOWN,
    ),
    "a formula": (pdf(X, tree=el("Formula", 0)), UNKNOWN),
    "a row outside of a table": (pdf(X, tree=el("TR", el("TD", 0))), UNKNOWN),
    "words in a row": (pdf(X, tree=el("Table", 0)), UNKNOWN),
    "a list of words": (pdf(X, tree=el("L", 0)), UNKNOWN),
    # --- made to harm ---
    "a structure in a circle": (pdf(X, tree=el("Document", "7 0 R", 0)), TWICE),
    "too deep": (pdf(X, tree=reduce(lambda inner, _: el("Div", inner), range(80), el("P", 0))), LIMITED),
    "nothing that is known": (pdf(X + " evil"), DOES),
    "marks without an end": (pdf("/P<</MCID 0>>BDC " * 1), DAMAGED),
    "an end without a mark": (pdf(X + "EMC"), DAMAGED),
    "marks in marks": (pdf(X + "/A BMC " * 50), LIMITED),
    "more than a letter": (pdf(X + "n " * 250_000), LIMITED),
    "too many pages": (pdf(*[X] * 101), LIMITED),
    "a font of everything": (
        pdf(X, font=SANS, objects=(to_unicode("<00000000> <FFFFFFFF> <0041>", "bfrange"),)),
        LIMITED,
    ),
    "not a PDF": (b"%PDF-1.7\nx", DAMAGED),
    "cut off": (pdf(X)[:-200], DAMAGED),
    "a page tree in a circle": (pdf(X).replace(b"/Type/Pages/Kids[6 0 R", b"/Type/Pages/Kids[2 0 R"), LIMITED),
}


@pytest.mark.parametrize("case", UNREAD)
def test_what_is_not_faithful_is_not_read_and_says_why(case: str) -> None:
    body, reason = UNREAD[case]
    with pytest.raises(Unread) as unread:
        words(body)
    assert unread.value.reason == reason


def bomb() -> bytes:
    """A page that unpacks to 300 MB."""
    whole = pdf(X, objects=("HERE",))
    packed = zlib.compress(bytes(300_000_000), 9)
    stream = b"<</Filter/FlateDecode/Length %d>>stream\n" % len(packed) + packed + b"\nendstream"
    # Behind the others, so that what the table says of them stays true.
    return whole.replace(b"/Contents 6 0 R", b"/Contents 4 0 R").replace(b"HERE", stream, 1)


def test_what_unpacks_to_much_is_not_unpacked() -> None:
    with pytest.raises(Unread):
        words(bomb())


def test_of_what_the_library_mends_nothing_is_read_and_nothing_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    whole = pdf(X)
    assert words(whole) == "x"
    # The table says of an object what is no place; the library finds it all the same, and warns.
    broken = re.sub(rb"\n0000000(\d{3}) 00000 n", rb"\n0000000\1 0000x n", whole, count=1)
    assert broken != whole
    with pytest.raises(Unread) as unread:
        words(broken)
    assert unread.value.reason == DAMAGED
    assert not any(capfd.readouterr())


def part_of(case: str, start: bytes) -> bytes:
    whole = (FIXTURES / f"{case}.mime").read_bytes()
    return whole[whole.index(start) : whole.index(b"\n--files", whole.index(start))]


def test_a_letter_of_a_word_processor_is_read_word_for_word_from_both_that_it_exports() -> None:
    docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    as_docx = as_text(read(docx, part_of("docx", b"PK\x03\x04"))[0])
    as_pdf, edges = read("application/pdf", part_of("tagged-pdf", b"%PDF"))
    assert edges
    first, *middle, last = as_docx.split("\n")
    assert (first, last) == ("Example Older People’s Mental Health Service (fictitious)", "Page 1")
    assert as_text(as_pdf) == "\n".join(middle).strip()
    assert "Sertraline | 50 mg | in the morning, with food, until it is reviewed" in as_text(as_pdf)
    assert "white cells were 6.1 × 10^9/L." in as_text(as_pdf)


def test_a_damaged_one_is_read_whole_or_not_at_all() -> None:
    body = part_of("tagged-pdf", b"%PDF")
    text = words(body)
    for at in range(0, len(body), 211):
        for broken in (body[:at] + bytes([body[at] ^ 0x10]) + body[at + 1 :], body[:at] + body[at + 5 :]):
            try:
                assert words(broken) == text
            except Unread:
                continue


#: Shapes that grow: what is done grows as they do.
GROWING = {
    "text": lambda n: pdf("/P<</MCID 0>>BDC " + "".join(loose("word ", 50, 20 + at % 700) for at in range(n)) + "EMC"),
    "elements": lambda n: pdf(X, tree=el("Document", *(el("P") for _ in range(n)), el("P", 0))),
    "shapes": lambda n: pdf(X + "0 0 1 1 re f " * n),
}


@pytest.mark.parametrize("shape", GROWING)
def test_what_is_done_grows_as_the_document_does(shape: str) -> None:
    def calls(body: bytes) -> int:
        count = 0

        def seen(_frame: Any, event: str, _what: Any) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(seen)
        try:
            words(body)
        except Unread:
            pass
        finally:
            sys.setprofile(None)
        return count

    words(pdf(X))
    small, large = (calls(GROWING[shape](n)) for n in (100, 1_000))
    assert large < 13 * small
