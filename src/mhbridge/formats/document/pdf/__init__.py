"""
The text of a tagged PDF: one whose writer says the order, the paragraphs, the lists and the tables (ISO 32000-1, 14.8).

`read_pdf` is the door; everything else is behind it:

    objects     the objects of the file, by the library that reads them, bounded
    fonts       which characters the signs of a font are
    content     what a page shows, and where; pieces of it, and what is seen of them
    structure   the structure as paragraphs, lists and tables, held against the pages
    lines       pieces of text put together

A PDF without such a structure says where signs stand on a page and not in which order they are read. One with anything
that a reader sees elsewhere than in its text (layers, forms, notes, scans), or the text of which is not what is seen,
is not read. This package must never give a word that does not show, and never leave one out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mhbridge.formats.document.blocks import Block, Unread
from mhbridge.formats.document.pdf.content import read_page
from mhbridge.formats.document.pdf.objects import LIMITED, Budget, array, dictionary, name, opened, value
from mhbridge.formats.document.pdf.pieces import Page
from mhbridge.formats.document.pdf.structure import read_structure

__all__ = ["read_pdf"]

UNTAGGED: Final = "the PDF does not say in which order it is read (it is not tagged)"
_ACTIVE: Final = "the PDF does something when it is opened"
_MOST_PAGES: Final = 100
_DEEPEST: Final = 30
#: What a page has of those above it (7.7.3.4).
_INHERITED: Final = ("/Resources", "/MediaBox", "/CropBox", "/Rotate")


def read_pdf(body: bytes) -> tuple[tuple[Block, ...], bool]:
    """
    What is written in a PDF, and whether there are words at the edges of its pages that are left out of it.

    Raises:
        Unread: it cannot be read faithfully.
    """
    budget = Budget()
    with opened(body, budget) as pdf:
        if pdf.is_encrypted:
            raise Unread("the PDF is encrypted")
        root = pdf.root_object
        _look_at(root)
        pages = list(_pages(value(root, "/Pages"), {}, 0))
        if len(pages) > _MOST_PAGES:
            raise Unread(LIMITED)
        fonts: dict[int, Any] = {}
        shown: list[Page] = []
        for place, (page, whole) in enumerate(pages):
            _look_at_page(page)
            shown.append(read_page(whole, place, fonts, budget))
        blocks = read_structure(value(root, "/StructTreeRoot"), [page for page, _ in pages], shown, budget)
        return blocks, any(page.edges for page in shown)


def _look_at(root: Any) -> None:
    """Whether there is a structure, and nothing in the document that a reader would see elsewhere than in it."""
    marks = dictionary(root, "/MarkInfo")
    if value(marks, "/Marked") is None or not value(marks, "/Marked").value or not dictionary(root, "/StructTreeRoot"):
        raise Unread(UNTAGGED)
    suspects = value(marks, "/Suspects")
    if suspects is not None and suspects.value:
        raise Unread("the PDF says itself that its structure may be wrong")
    if value(root, "/OCProperties") is not None:
        raise Unread("the PDF has layers that may be hidden")
    form = dictionary(root, "/AcroForm")
    if array(form, "/Fields") or value(form, "/XFA") is not None or value(root, "/NeedsRendering") is not None:
        raise Unread("the PDF is a form")
    names = dictionary(root, "/Names")
    if value(root, "/Collection") is not None or value(names, "/EmbeddedFiles") is not None:
        raise Unread("the PDF has files in it")
    opens = value(root, "/OpenAction")
    goes = not isinstance(opens, dict) or name(opens, "/S") == "GoTo"
    if not goes or value(names, "/JavaScript") is not None or value(root, "/AA") is not None:
        raise Unread(_ACTIVE)


def _look_at_page(page: Any) -> None:
    if value(page, "/AA") is not None:
        raise Unread(_ACTIVE)
    for note in array(page, "/Annots"):
        if name(note.get_object(), "/Subtype") != "Link":
            raise Unread("there is something on a page of the PDF that is no part of it: a note, a stamp, a field")


def _pages(node: Any, above: dict[str, Any], depth: int, seen: set[int] | None = None) -> Iterator[tuple[Any, Any]]:
    """The pages (7.7.3), each with itself and what it inherits."""
    seen = set() if seen is None else seen
    if depth > _DEEPEST or len(seen) > _MOST_PAGES * 2 or id(node) in seen:
        raise Unread(LIMITED)
    seen.add(id(node))
    own = above | {key: node[key] for key in _INHERITED if value(node, key) is not None}
    if name(node, "/Type") == "Pages":
        for kid in array(node, "/Kids"):
            yield from _pages(kid.get_object(), own, depth + 1, seen)
    elif depth:
        yield node, {**node, **own}
