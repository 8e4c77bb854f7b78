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
from typing import TYPE_CHECKING, Any, Final

from mhbridge.fhir.xhtml import div, escape
from mhbridge.mapping.conversions import Context, Conversion, Unconvertible
from mhbridge.mapping.conversions.at import CDA, TEXT, XSI, At, leaf, made

if TYPE_CHECKING:
    from mhbridge.formats.xml.tree import Tree

__all__ = ["conversions", "words_of"]

#: Markup in which nothing is said.
_SILENT: Final = re.compile(r"(?:<[^>]*+>|\s)*+")
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


def _walk(at: At, out: _Lines, numbers: list[int]) -> None:
    at.take_own()
    tree, seen = at.tree, at.seen
    out.add(_tidy(tree.texts[at.index]))
    for child in tree.children(at.index):
        _child(At(tree, child, seen), out, numbers)
        out.add(_tidy(tree.tails[child]))


def _child(at: At, out: _Lines, numbers: list[int]) -> None:
    name = at.local
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
        for number, cell in enumerate(at.tree.children(at.index)):
            if number:
                out.lines[-1] = out.lines[-1].rstrip() + " | "
            inner = _Lines()
            _walk(At(at.tree, cell, at.seen), inner, [])
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
    if at.bare:
        at.take_own()
        lines = (_tidy(line).strip() for line in at.tree.texts[at.index].splitlines())
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
    name = at.local
    if name in ("section", "component") and (name == "section" or at.one("section") is not None):
        return "\n".join(filter(None, (_section if name == "section" else _component)(at))) or _null(at)
    if at.peek("representation") == "B64" or at.peek("compression"):
        raise Unconvertible("an encoded document is no text: bind it as an attachment")
    if at.bare and at.words_between:
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
_SPANS: Final = ("colspan", "rowspan")


def _xhtml(at: At, _context: Context) -> Any:
    """A narrative or a section as the `div` of a FHIR narrative."""
    name = at.local
    out: list[str] = []
    if name in ("section", "component"):
        (_section_xhtml if name == "section" else _component_xhtml)(at, 3, out)
        markup = "".join(out)
    else:
        _inner(at.tree, at.index, at.seen, out)
        markup = "".join(out)
        if at.bare:
            markup = f"<p>{'<br/>'.join(line.strip() for line in markup.strip().splitlines())}</p>"
    # Nothing but the elements and attributes below is ever written; a build sanitises it like any other XHTML.
    return div(markup.strip()) if _seen(markup) else _null(at)


def _seen(markup: str) -> bool:
    return _SILENT.fullmatch(markup) is None


def _section_xhtml(at: At, level: int, out: list[str]) -> None:
    text = at.one("text")
    if text is not None:
        out.append("<div>")
        _inner(at.tree, text.index, at.seen, out)
        out.append("</div>")
    for component in at.all("component"):
        _component_xhtml(component, level, out)


def _component_xhtml(at: At, level: int, out: list[str]) -> None:
    inner = at.one("section")
    if inner is not None:
        if title := _title(inner):
            out.append(f"<h{level}>{escape(title)}</h{level}>")
        _section_xhtml(inner, min(level + 1, 6), out)


def _inner(tree: Tree, index: int, seen: set[Any] | None, out: list[str]) -> None:
    """What is in an element, and that it is read."""
    if seen is not None and tree.masks[index] & TEXT:
        seen.add(leaf(index))
    if text := tree.texts[index]:
        out.append(text if text.isspace() else escape(text))
    ends = tree.ends
    at, end = index + 1, ends[index]
    if at < end:
        names, keys, tails = tree.names, tree.keys, tree.tails
        while at < end:
            marks = _MARKS.get(names[at])
            if marks is None or keys[at]:
                _element(tree, at, seen, out)
            else:
                out.append(marks[0])
                _inner(tree, at, seen, out)
                out.append(marks[1])
            if tail := tails[at]:
                out.append(tail if tail.isspace() else escape(tail))
            at = ends[at]


#: What elements without attributes become that stand for themselves: the marks before and behind them.
_MARKS: Final[Mapping[str, tuple[str, str]]] = {
    **{f"{CDA}{name}": (f"<{name}>", f"</{name}>") for name in _SAME - {"br", "col"}},
    f"{CDA}paragraph": ("<p>", "</p>"),
    f"{CDA}content": ("", ""),
}


def _element(tree: Tree, index: int, seen: set[Any] | None, out: list[str]) -> None:
    name = tree.names[index].rpartition("}")[2]
    if name in _SAME:
        spans = ""
        if tree.keys[index]:
            at = At(tree, index, seen)
            spans = "".join([f' {key}="{escape(said)}"' for key in _SPANS if (said := at.take(key)).isdigit()])
        if name in ("br", "col"):
            out.append(f"<{name}{spans}/>")
        else:
            _within(f"{name}{spans}", f"</{name}>", tree, index, seen, out)
    elif name == "list":
        _list(At(tree, index, seen), out)
    elif name == "paragraph":
        _within("p", "</p>", tree, index, seen, out)
    elif name == "content":
        _content(At(tree, index, seen), out)
    elif name == "footnote":
        out.append(" [")
        _inner(tree, index, seen, out)
        out.append("] ")
    elif name == "caption" and tree.names[tree.parents[index]].rpartition("}")[2] == "table":
        _within("caption", "</caption>", tree, index, seen, out)
    elif name == "linkHtml":
        link = At(tree, index, seen).take("href")
        safe = bool(_SAFE_LINK.fullmatch(link))
        out.append(f'<a href="{escape(link)}">' if safe else "")
        _inner(tree, index, seen, out)
        out.append("</a>" if safe else "")
    elif name == "renderMultiMedia":
        lines = _Lines()
        _picture(At(tree, index, seen), lines)
        out.append(escape(lines.text()))
    else:
        out.append(" ")
        _inner(tree, index, seen, out)
        out.append(" ")


def _within(tag: str, end: str, tree: Tree, index: int, seen: set[Any] | None, out: list[str]) -> None:
    out.append(f"<{tag}>")
    _inner(tree, index, seen, out)
    out.append(end)


def _list(at: At, out: list[str]) -> None:
    tree, seen = at.tree, at.seen
    outer = "ol" if at.take("listType") == "ordered" else "ul"
    children = [(child, tree.names[child].rpartition("}")[2]) for child in tree.children(at.index)]
    for child, name in children:
        if name == "caption":
            _within("p", "</p>", tree, child, seen, out)
    out.append(f"<{outer}>")
    at.take_own()
    for child, name in children:
        if name == "item":
            _within("li", "</li>", tree, child, seen, out)
        elif name != "caption":
            _element(tree, child, seen, out)
    out.append(f"</{outer}>")


def _content(at: At, out: list[str]) -> None:
    deleted = at.peek("revised") == "delete" and bool(at.take("revised"))
    marks = [_STYLES[word] for word in at.peek("styleCode").split() if word in _STYLES]
    if marks:
        at.take("styleCode")
    out += ["<span style='text-decoration: underline'>" if mark == "u" else f"<{mark}>" for mark in marks]
    if deleted:
        out.append(_DELETED[0])
    _inner(at.tree, at.index, at.seen, out)
    if deleted:
        out.append(_DELETED[1])
    out += [f"</{'span' if mark == 'u' else mark}>" for mark in reversed(marks)]


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
    if at.peek("representation") == "B64":
        at.take("representation")
        at.take_own()
        data = "".join(at.tree.words(at.index).split())
        if not data:
            return _null(at)
        try:
            raw = binascii.a2b_base64(data, strict_mode=True)
        except ValueError:
            raise Unconvertible("the document is not the Base64 that it says it is") from None
        _checked(at, raw)
        return {"contentType": media, "data": data}
    text = at.own() if at.bare else _narrative(at)
    reference = at.one("reference")
    if not text and reference is not None and (url := reference.take("value")):
        if url.startswith("#") or _SPACE.search(url):
            raise Unconvertible("the reference is not to a document")
        return {"contentType": media, "url": url}
    if not text:
        return _null(at)
    return {"contentType": media if at.bare else "text/plain",
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
