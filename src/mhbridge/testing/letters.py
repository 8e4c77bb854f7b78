"""
An invented letter of the kind that a real one is, for fixtures.

A document holds more than anybody sees, and whatever is left of it may be a patient's: nothing of the one given is in
the one made but its kind. This module must never look further into a document than how it begins.
"""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import Final

__all__ = ["letter_like"]

_TITLE: Final = "Discharge letter"
_WORDS: Final = "This letter is invented. It stands in the place of one that is not shown."
_RTF: Final = f"{{\\rtf1\\ansi\\deff0{{\\fonttbl{{\\f0 Arial;}}}}\\f0 {{\\b {_TITLE}}}\\par {_WORDS}\\par}}\n"
_HTML: Final = (
    f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{_TITLE}</title></head>\n'
    f"<body><h1>{_TITLE}</h1><p>{_WORDS}</p></body></html>\n"
)
_OPENXML: Final = "http://schemas.openxmlformats.org"
_WORD: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_PARTS: Final = {
    "[Content_Types].xml": f'<Types xmlns="{_OPENXML}/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/word/document.xml" ContentType="{_WORD}"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_OPENXML}/package/2006/relationships"><Relationship Id="rId1" '
    f'Type="{_OPENXML}/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>',
    "word/document.xml": f'<w:document xmlns:w="{_OPENXML}/wordprocessingml/2006/main"><w:body>'
    f"<w:p><w:r><w:t>{_TITLE}</w:t></w:r></w:p><w:p><w:r><w:t>{_WORDS}</w:t></w:r></w:p></w:body></w:document>",
}


def letter_like(text: str) -> str:
    """
    An invented letter, in the format that begins as `text` does.

    Args:
        text: a document, what is not UTF-8 of its bytes as lone surrogates; so is what is given back.
    """
    begins = text.lstrip("\ufeff \t\r\n")
    if begins.startswith("%PDF-"):
        return _pdf()
    if begins.startswith("{\\rtf"):
        return _RTF
    if begins.startswith("PK\x03\x04"):
        return _docx().decode("utf-8", "surrogateescape")
    if begins.startswith("<"):
        return _HTML
    return f"{_TITLE}\n\n{_WORDS}\n"


def _pdf() -> str:
    """One page that is not tagged, as most letters come (ISO 32000-1 §7.5)."""
    shown = f"BT /F1 12 Tf 72 720 Td ({_TITLE}) Tj 0 -24 Td ({_WORDS}) Tj ET"
    objects = (
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 4 0 R>>>>/Contents 5 0 R>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        f"<</Length {len(shown)}>>stream\n{shown}\nendstream",
    )
    body, places = "%PDF-1.4\n", list[int]()
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    count = len(objects) + 1
    end = f"trailer<</Size {count}/Root 1 0 R>>\nstartxref\n{len(body)}\n%%EOF\n"
    return f"{body}xref\n0 {count}\n0000000000 65535 f \n{table}{end}"


def _docx() -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, part in _PARTS.items():
            # One time for all, so that the same sample gives the same fixture.
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            archive.writestr(member, part)
    return made.getvalue()
