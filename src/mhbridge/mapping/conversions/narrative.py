"""
The narrative block of CDA and encapsulated data: what a person reads, as text, as XHTML, or as a document.

Every word of a narrative is kept, in its order: tables stay rows, lists stay items, what was deleted says so. Sections
inside a section follow it under their titles. This module must never follow a reference out of the document, and never
write markup or an attribute that the narrative brought along (HL7 CDA R2 §4.3.5, Narrative Block).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mhbridge.fhir.xhtml import div, escape
from mhbridge.mapping.conversions import Context, Conversion, Unconvertible
from mhbridge.mapping.conversions.at import XSI, At, made

__all__ = ["conversions", "words_of"]

_MARKUP: Final = re.compile(r"<[^>]*>")
_SPACE: Final = re.compile(r"[ \t\r\n]+")
_BLOCKS: Final = frozenset(
    {"paragraph", "list", "table", "item", "caption", "tr", "thead", "tbody", "tfoot", "footnote"}
)
_DELETED: Final = ("[deleted: ", "]")
#: styleCode (HL7 CDA R2 §4.3.5.11) → the element of FHIR's narrative.
_STYLES: Final[Mapping[str, str]] = {"Bold": "b", "Italics": "i", "Emphasis": "em", "Underline": "u"}
_SAFE_LINK: Final = re.compile(r"(https?://|mailto:|tel:)[^\s]+", re.IGNORECASE)


def _tidy(text: str) -> str:
    return _SPACE.sub(" ", text)


# --- as text -----------------------------------------------------------------------------------------------


class _Lines:
    """Lines of text being made; a new one begins only when the last says something."""

    def __init__(self) -> None:
        self.lines: list[str] = [""]

    def add(self, text: str) -> None:
        last = self.lines[-1]
        if not last or last.endswith(" "):
            text = text.lstrip(" ")
        self.lines[-1] = last + text

    def end(self) -> None:
        if self.lines[-1].strip():
            self.lines.append("")

    def text(self) -> str:
        return "\n".join(line.strip() for line in self.lines if line.strip())


def _take_own(at: At) -> None:
    if at.element.own and at.seen is not None:
        at.seen.add(f"{at.element.index}.0")


def _walk(at: At, out: _Lines, numbers: list[int]) -> None:
    _take_own(at)
    element = at.element
    out.add(_tidy(element.text))
    for child in element.children:
        _child(At(child, at.seen), out, numbers)
        out.add(_tidy(child.tail))


def _child(at: At, out: _Lines, numbers: list[int]) -> None:
    name = at.element.local
    if name == "br":
        out.lines.append("")
    elif name == "list":
        out.end()
        _walk(at, out, [1 if at.take("listType") == "ordered" else 0])
        out.end()
    elif name == "item":
        out.end()
        if numbers and numbers[-1]:
            out.add(f"{numbers[-1]}. ")
            numbers[-1] += 1
        else:
            out.add("- ")
        _walk(at, out, [])
        out.end()
    elif name == "tr":
        out.end()
        for number, cell in enumerate(at.element.children):
            if number:
                out.lines[-1] = out.lines[-1].rstrip() + " | "
            inner = _Lines()
            _walk(At(cell, at.seen), inner, [])
            out.lines[-1] += inner.text().replace("\n", "; ")
        out.end()
    elif name == "renderMultiMedia":
        _picture(at, out)
    elif name == "content" and at.peek("revised") == "delete":
        at.take("revised")
        out.add(_DELETED[0])
        _walk(at, out, [])
        out.add(_DELETED[1])
    elif name in ("sup", "sub"):
        # "10" with a raised "9" must not be read as "109".
        out.add("^" if name == "sup" else "_")
        _walk(at, out, [])
    elif name == "linkHtml":
        _walk(at, out, [])
        link = at.take("href")
        if _SAFE_LINK.fullmatch(link) and link not in out.lines[-1]:
            out.add(f" ({link})")
    elif name == "footnote":
        out.add(" [")
        _walk(at, out, [])
        out.add("] ")
    elif name in _BLOCKS:
        out.end()
        _walk(at, out, numbers)
        out.end()
    else:
        _walk(at, out, numbers)


def _picture(at: At, out: _Lines) -> None:
    caption = _Lines()
    _walk(at, caption, [])
    said = caption.text()
    out.add(f" [picture not included{': ' + said if said else ''}] ")


def _narrative(at: At) -> str:
    """A narrative as text. Without any markup its own line ends are all the structure there is, and they stay."""
    if not at.element.children:
        _take_own(at)
        lines = (_tidy(line).strip() for line in at.element.text.splitlines())
        return "\n".join(line for line in lines if line)
    out = _Lines()
    _walk(at, out, [])
    return out.text()


def _title(at: At) -> str:
    title = at.one("title")
    return "" if title is None else title.words()


def _section(at: At) -> Iterator[str]:
    """A section: its text, and the sections inside it under their titles."""
    text = at.one("text")
    if text is not None:
        yield _narrative(text)
    for component in at.all("component"):
        yield from _component(component)


def _component(at: At) -> Iterator[str]:
    """The section of a component, under its title."""
    inner = at.one("section")
    if inner is not None:
        yield _title(inner)
        yield from _section(inner)


def _words_of_code(at: At) -> str:
    """The words of a coded value: those that it was made of, else those of its codes, else a code."""
    from mhbridge.mapping.conversions.cda import original

    if text := original(at):
        return text
    codes = (at, *at.all("translation"))
    return next((one.take(key) for key in ("displayName", "code") for one in codes if one.peek(key)), "")


def words_of(at: At, _context: Context) -> Any:
    """Any element as text: a section, a narrative, a name, and of a value what it says."""
    element = at.element
    name = element.local
    if name in ("section", "component") and (name == "section" or at.one("section") is not None):
        return "\n".join(filter(None, (_section if name == "section" else _component)(at))) or _null(at)
    if at.peek("representation") == "B64" or at.peek("compression"):
        raise Unconvertible("an encoded document is no text: bind it as an attachment")
    if not element.children and element.own:
        return _narrative(at)
    kind = at.peek(f"{XSI}type").rpartition(":")[2]
    if at.peek("code") or at.peek("displayName") or at.one("originalText", "translation") is not None:
        return _words_of_code(at) or _null(at)
    if at.peek("value"):
        return " ".join(filter(None, (at.take("value"), at.take("unit"))))
    ends = [(mark, end) for mark, key in (("from", "low"), ("to", "high")) if (end := at.one(key)) is not None]
    if ends and kind not in ("ED", "ST"):
        said = [f"{mark} {' '.join(filter(None, (end.take('value'), end.take('unit'))))}" for mark, end in ends
                if end.peek("value")]  # fmt: skip
        if said:
            return " ".join(said)
    if text := _narrative(at):
        return text
    reference = at.one("reference")
    if reference is not None:
        from mhbridge.mapping.conversions.cda import referred

        if text := referred(at):
            return text
    return _null(at)


def _null(at: At) -> Any:
    from mhbridge.mapping.conversions.cda import null

    return null(at)


# --- as XHTML ----------------------------------------------------------------------------------------------

_SAME: Final = frozenset({"table", "thead", "tbody", "tfoot", "tr", "td", "th", "col", "colgroup", "sub", "sup", "br"})
_SPANS: Final = frozenset({"colspan", "rowspan"})


def _xhtml(at: At, _context: Context) -> Any:
    """A narrative or a section as the `div` of a FHIR narrative."""
    name = at.element.local
    if name in ("section", "component"):
        made_ = "".join((_section_xhtml if name == "section" else _component_xhtml)(at, 3))
    else:
        made_ = "".join(_inner(at))
        if not at.element.children:
            made_ = f"<p>{'<br/>'.join(line.strip() for line in made_.strip().splitlines())}</p>"
    # Nothing but the elements and attributes below is ever written; a build sanitises it like any other XHTML.
    return div(made_.strip()) if _seen(made_) else _null(at)


def _seen(markup: str) -> bool:
    return bool(_MARKUP.sub("", markup).strip())


def _section_xhtml(at: At, level: int) -> Iterator[str]:
    text = at.one("text")
    if text is not None:
        yield f"<div>{''.join(_inner(text))}</div>"
    for component in at.all("component"):
        yield from _component_xhtml(component, level)


def _component_xhtml(at: At, level: int) -> Iterator[str]:
    inner = at.one("section")
    if inner is not None:
        if title := _title(inner):
            yield f"<h{level}>{escape(title)}</h{level}>"
        yield from _section_xhtml(inner, min(level + 1, 6))


def _inner(at: At) -> Iterator[str]:
    _take_own(at)
    yield escape(at.element.text)
    for child in at.element.children:
        yield from _element(At(child, at.seen))
        yield escape(child.tail)


def _element(at: At) -> Iterator[str]:
    name = at.element.local
    if name in _SAME:
        spans = "".join(f' {key}="{escape(said)}"' for key in sorted(_SPANS) if (said := at.take(key)).isdigit())
        yield f"<{name}{spans}/>" if name in ("br", "col") else f"<{name}{spans}>"
        if name not in ("br", "col"):
            yield from _inner(at)
            yield f"</{name}>"
    elif name == "list":
        outer = "ol" if at.take("listType") == "ordered" else "ul"
        captions = [child for child in at.element.children if child.local == "caption"]
        for caption in captions:
            yield "<p>"
            yield from _inner(At(caption, at.seen))
            yield "</p>"
        yield f"<{outer}>"
        _take_own(at)
        for child in at.element.children:
            if child.local == "item":
                yield "<li>"
                yield from _inner(At(child, at.seen))
                yield "</li>"
            elif child.local != "caption":
                yield from _element(At(child, at.seen))
        yield f"</{outer}>"
    elif name in ("paragraph", "footnote"):
        yield "<p>" if name == "paragraph" else " ["
        yield from _inner(at)
        yield "</p>" if name == "paragraph" else "] "
    elif name == "caption" and at.element.parent is not None and at.element.parent.local == "table":
        yield "<caption>"
        yield from _inner(at)
        yield "</caption>"
    elif name == "content":
        deleted = at.peek("revised") == "delete" and bool(at.take("revised"))
        marks = [_STYLES[word] for word in at.peek("styleCode").split() if word in _STYLES]
        if marks:
            at.take("styleCode")
        yield from ("<span style='text-decoration: underline'>" if mark == "u" else f"<{mark}>" for mark in marks)
        yield _DELETED[0] if deleted else ""
        yield from _inner(at)
        yield _DELETED[1] if deleted else ""
        yield from (f"</{'span' if mark == 'u' else mark}>" for mark in reversed(marks))
    elif name == "linkHtml":
        link = at.take("href")
        safe = bool(_SAFE_LINK.fullmatch(link))
        yield f'<a href="{escape(link)}">' if safe else ""
        yield from _inner(at)
        yield "</a>" if safe else ""
    elif name == "renderMultiMedia":
        out = _Lines()
        _picture(at, out)
        yield escape(out.text())
    else:
        yield " "
        yield from _inner(at)
        yield " "


# --- as a document -----------------------------------------------------------------------------------------

#: HL7 v3 data types R1 §2.4.6 (ED.integrityCheckAlgorithm).
_DIGESTS: Final[Mapping[str, str]] = {"SHA-1": "sha1", "SHA-256": "sha256"}
_MEDIA: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")


def _attachment(at: At, _context: Context) -> Any:
    """ED: the bytes in Base64 with their media type; of a reference where they are, which is not fetched."""
    if at.peek("compression"):
        raise Unconvertible("the document is compressed, and is not opened")
    media = at.take("mediaType").lower() or "text/plain"
    if not _MEDIA.fullmatch(media):
        raise Unconvertible("the document names no media type")
    element = at.element
    if at.peek("representation") == "B64":
        at.take("representation")
        _take_own(at)
        data = "".join(element.words().split())
        if not data:
            return _null(at)
        try:
            raw = binascii.a2b_base64(data, strict_mode=True)
        except ValueError:
            raise Unconvertible("the document is not the Base64 that it says it is") from None
        _checked(at, raw)
        return {"contentType": media, "data": data}
    text = _narrative(at) if element.children else at.own()
    reference = at.one("reference")
    if not text and reference is not None and (url := reference.take("value")):
        if url.startswith("#") or _SPACE.search(url):
            raise Unconvertible("the reference is not to a document")
        return {"contentType": media, "url": url}
    if not text:
        return _null(at)
    return {"contentType": "text/plain" if element.children else media,
            "data": base64.b64encode(text.encode()).decode("ascii")}  # fmt: skip


def _checked(at: At, raw: bytes) -> None:
    """That the bytes are those that the sender counted, where it says so."""
    said = at.peek("integrityCheck")
    if not said:
        return
    algorithm = at.peek("integrityCheckAlgorithm") or "SHA-1"
    name = _DIGESTS.get(algorithm)
    at.take("integrityCheck")
    at.take("integrityCheckAlgorithm")
    if name is None:
        raise Unconvertible("the document's check is of an algorithm that is not known")
    digest = hashlib.new(name, raw, usedforsecurity=False).digest()
    if base64.b64encode(digest).decode("ascii") != "".join(said.split()) and digest.hex() != said.lower():
        raise Unconvertible("the document is not the one that its check was made of")


# --- all of them -------------------------------------------------------------------------------------------


def conversions() -> Iterator[Conversion]:
    """The texts after everything that has a type of its own."""
    for name in ("string", "text", "markdown"):
        yield made(name, words_of)
    yield made("xhtml", _xhtml)
    yield made("Attachment", _attachment)
