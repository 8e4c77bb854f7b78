r"""
The XHTML that FHIR lets a narrative hold: writing text into it, and making foreign XHTML safe to show.

What a reader must know is never lost or joined by this module: a character that XML cannot hold, or that a screen would
not show, is written as a visible escape (`\x07`); an element that is taken away leaves its text, set apart from its
neighbours. It must never write markup that somebody else decided: elements and attributes are those of FHIR R4 `txt-1`.
"""

from __future__ import annotations

import re
from html.entities import html5
from html.parser import HTMLParser
from itertools import islice
from typing import Final
from xml.parsers import expat

from mhbridge.fhir.settled import is_settled

__all__ = ["NAMESPACE", "div", "escape", "flow", "paragraph", "sanitise", "visible"]

NAMESPACE: Final = "http://www.w3.org/1999/xhtml"
_ROOT: Final = f'<div xmlns="{NAMESPACE}">'

# --- text into XHTML ---------------------------------------------------------------------------------------

# Not XML 1.0 characters (§2.2), or characters that vanish or reorder what stands beside them. C1 controls are legal
# XML, but they are mostly Windows-1252 read as Latin-1 and show nothing: "5\x9610 mg" would be read as "510 mg".
_UNSHOWN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202d\u202e\ud800-\udfff\ufffe\uffff]")
# Spaces that a browser would swallow: all but one of a run, and those at the start of a line.
_SPACES: Final = re.compile("(?:(?<=\n)|^) +|  +")


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def visible(text: str) -> str:
    """Write every character that XML cannot hold, or that a reader would not see, as an escape that he does see."""
    # What Python calls printable has none of them, and asking it is much faster than looking for each.
    return text if text.isprintable() else _UNSHOWN.sub(_shown, text)


def escape(text: str) -> str:
    """Text as XML character data or as an attribute value in double quotes."""
    if not text.strip(" \t\r\n"):
        return text  # what stands between elements
    return visible(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;"))


def _kept(match: re.Match[str]) -> str:
    """
    A table drawn with spaces, as in many letters, would fall apart in a browser, which shows one space for many.

    The last space of a run between words stays plain, so that a line can still be broken there.
    """
    start, spaces = match.start(), len(match[0])
    indents = start == 0 or match.string[start - 1] == "\n"
    return "\u00a0" * spaces if indents else "\u00a0" * (spaces - 1) + " "


def flow(text: str) -> str:
    """Text as flow content: escaped, line ends as `<br/>`, runs of spaces kept by no-break spaces."""
    if text.isprintable() and not ("&" in text or "<" in text or ">" in text or '"' in text or "  " in text):
        # The usual words and numbers: nothing in them has to be written otherwise.
        return text if text[:1] != " " else _SPACES.sub(_kept, text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "  " in text or "\n " in text or text[:1] == " ":
        text = _SPACES.sub(_kept, text)
    return visible(text.replace("\n", "<br/>"))


def paragraph(text: str) -> str:
    """A sentence or more as `<p>…</p>`; a blank line begins a further paragraph."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join([f"<p>{flow(part)}</p>" for part in text.split("\n\n")])


def div(inner: str) -> str:
    """`inner`, which must be well-formed XHTML, as the `div` of a FHIR Narrative."""
    return f'<div xmlns="{NAMESPACE}">{inner}</div>'


# --- foreign XHTML -----------------------------------------------------------------------------------------


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


# FHIR R4, Narrative, invariant txt-1, as its XPath lists them.
ELEMENTS: Final = _names(
    """
    a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i
    img li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var
    """
)
# Those attributes of txt-1 that say something to a reader. Left out: `class`, `bgcolor` and their like, by which a page
# can hide text, and URLs other than `href` and `src`.
ATTRIBUTES: Final = _names(
    """
    abbr align alt border cellpadding cellspacing char charoff colspan compact dir frame headers height href
    hreflang id lang name nowrap rowspan rules scope span src start style summary title type valign value width
    """
)
# Not in txt-1, but a reader would miss the line break, the crossing out or the tick: written as what is in it.
_BLOCKS: Final = _names(
    """
    address article aside body center details fieldset figcaption figure footer form header html legend main nav
    section summary
    """
)
_STRUCK: Final = _names("del s strike")
_TICKED: Final = _names("input option")
# Taken away without a trace: they stand inside words.
_INLINE: Final = _names("bdi bdo font ins kbd label mark nobr select time u wbr")
# Taken away, and a space is left: HTML names that a reader never sees. What looks like a tag but has none of all these
# names ("<ten mg>", "<j.bloggs@example.org>") is text that somebody forgot to escape, and is shown as it is.
_UNSEEN: Final = _names(
    """
    applet area audio base basefont bgsound button canvas data datalist dialog embed frame frameset head hgroup
    iframe image keygen link map marquee math menuitem meta meter noembed noframes noscript object optgroup output
    param picture plaintext progress rp rt ruby slot source svg template textarea title track video xmp
    """
)
_LISTS: Final = _names("dir menu")
_READ: Final = ELEMENTS | _BLOCKS | _LISTS | _STRUCK | _TICKED
_DROPPED: Final = _names("script style")
#: ASCII: another letter that is an `s` in small letters ends nothing.
_ENDS: Final = {name: re.compile(f"</{name}", re.IGNORECASE | re.ASCII) for name in _DROPPED}
_VOID: Final = _names("br col hr img")

# HTML closes these by itself, so that a missing end tag does not nest what follows.
_CLOSING: Final = _names("dd dt li option p tbody td tfoot th thead tr")
# HTML opens these again in each block that follows, so that many of them would make much of little.
_FORMATTING: Final = _names("a b big code em i s small strike strong tt")

#: Elements nested deeper than this lose their tags and keep their text: common XML readers stop at 256 levels.
DEPTH: Final = 64
FORMATS: Final = 16

_STYLES: Final = _names("font-style font-weight list-style-type text-align text-decoration vertical-align white-space")
_STYLE: Final = re.compile(r"\s*([a-z-]+)\s*:\s*([a-z0-9 .%-]+?)\s*", re.IGNORECASE)
_LINK: Final = re.compile(r"(https?://|mailto:|tel:|#).+", re.IGNORECASE | re.DOTALL)
_PICTURE: Final = re.compile(r"#.+|data:image/(png|gif|jpeg);base64,[A-Za-z0-9+/=\s]*", re.IGNORECASE)
_TAG: Final = re.compile(r"<(?:(/?)([a-z][^\s/<>]*)[^<>]*>|!--|!doctype[^<>]*>|\?[^<>]*>)?", re.IGNORECASE)
_NAMED: Final = re.compile("&([A-Za-z][A-Za-z0-9]*;)")
_DECLARATION: Final = re.compile(r"\A\s*<\?xml[^>]*\?>")
#: As HTML reads them. So many on one tag are no formatting, and an HTML reader compares each with each.
_ATTRIBUTE: Final = re.compile(r"""[^\s"'>/=]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'=<>`]+))?""")
_ATTRIBUTES: Final = 100
_LONG_TAG: Final = 1_000
#: Attributes that are read before they are judged; the others do not even come so far.
_WRITTEN: Final = ATTRIBUTES | {"checked", "selected"}


def sanitise(xhtml: str) -> str:
    """
    Foreign XHTML or HTML as the `div` of a FHIR Narrative: well formed, safe to show, with all that a reader would see.

    Scripts, styles, events, frames and outside pictures are taken away. Crossed-out text is marked in words, and ticks
    of forms are written as `[x]` and `[ ]`, because many systems that show a narrative drop its styles.

    Returns:
        `<div xmlns="http://www.w3.org/1999/xhtml">…</div>`, or `""` when nothing is left that a reader would see.
    """
    if xhtml.startswith(_ROOT) and xhtml.endswith("</div>") and is_settled(xhtml[len(_ROOT) : -len("</div>")]):
        return xhtml
    return _sanitised(xhtml)


def _sanitised(xhtml: str) -> str:
    import nh3

    source = _without_cdata(visible(_DECLARATION.sub("", xhtml, count=1)))
    html = _from_xml(source)
    if html is None:
        html = _tidied(source)
    lower = html.lower()
    if ("<td" in lower or "<tr" in lower or "<th" in lower) and "<table" not in lower:
        # HTML readers ignore cells outside a table, and join what they hold.
        html = f"<table>{html}</table>"
    clean = nh3.clean(
        html,
        tags=set(_READ),
        clean_content_tags=set(_DROPPED),
        attributes={"*": set(ATTRIBUTES), "input": {"type", "value", "checked"}, "option": {"selected"}},
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "tel", "data"},
        link_rel=None,
        strip_comments=True,
    )
    writer = _Writer()
    writer.feed(clean)
    writer.close()
    return writer.narrative()


def _without_cdata(markup: str) -> str:
    """Character data of XML as escaped text: an HTML reader takes it for a comment."""
    first, *rest = markup.split("<![CDATA[")
    out = [first]
    for part in rest:
        inside, end, after = part.partition("]]>")
        out.append(f"{escape(inside)}{after}" if end else f"<![CDATA[{part}")
    return "".join(out)


def _tidied(html: str) -> str:
    """
    HTML that an HTML reader neither loses text of nor joins nor takes for ever over.

    What is not a whole tag of a known name is text ("BP <120"). An element that will vanish leaves a space, because
    "5 mg" before it and "10 mg" after it must stay two doses.
    """
    last_comment = html.rfind("-->")
    # Of a script or a style that is never closed only the tag goes: a reader would swallow all that follows it.
    closed = {name: max((end.start() for end in _ENDS[name].finditer(html)), default=-1) for name in _DROPPED}
    nested = formatted = 0

    def tag(match: re.Match[str]) -> str:
        nonlocal nested, formatted
        whole, name = match[0], (match[2] or "").lower()
        if len(whole) > _LONG_TAG and sum(1 for _ in islice(_ATTRIBUTE.finditer(whole), _ATTRIBUTES)) == _ATTRIBUTES:
            whole = f"<{match[1]}{match[2]}>" if name in _READ else whole
        if not name:
            if whole == "<!--":
                return whole if match.start() < last_comment else "&lt;!--"
            return whole if len(whole) > 1 else "&lt;"
        if name in _DROPPED:
            return whole if match[1] or match.start() < closed[name] else " "
        if name in _INLINE:
            return ""
        if ":" in name or name in _UNSEEN:
            return " "
        if name not in _READ:
            return f"&lt;{whole[1:]}"
        step = -1 if match[1] else 1
        if name in _FORMATTING:
            formatted = max(0, formatted + step)
            return whole if formatted <= FORMATS else ""
        if name not in _CLOSING and name not in _VOID and name != "input":
            nested = max(0, nested + step)
            return whole if nested <= DEPTH else " "
        return whole

    return _TAG.sub(tag, html)


def _attribute(element: str, name: str, value: str) -> str | None:
    """What nh3 asks for each attribute that is allowed by name: its value, or `None` to take it away."""
    if name == "href":
        return value if _LINK.fullmatch(value.strip()) else None
    if name == "src":
        return value if element == "img" and _PICTURE.fullmatch(value.strip()) else None
    if name == "style":
        kept = []
        for part in value.split(";"):
            match = _STYLE.fullmatch(part)
            if match and match[1].lower() in _STYLES:
                kept.append(f"{match[1].lower()}: {match[2].lower()}")
        return "; ".join(kept) or None
    return value


def _from_xml(xhtml: str) -> str | None:
    """
    Well-formed XHTML as HTML, or `None` if it is not well formed.

    An HTML reader takes `<script/>` for the start of a script and everything after it for its content. Text must not be
    lost that way, so what is XML is read as XML. It stands inside an element here, where XML allows no document type
    and hence no entities of its own.
    """

    def spelled(match: re.Match[str]) -> str:
        return match[0] if match[1] in ("amp;", "lt;", "gt;", "quot;", "apos;") else html5.get(match[1], match[0])

    out: list[str] = []
    dropping = depth = 0

    def name_of(tag: str) -> str:
        space, _, local = tag.rpartition(" ")
        return local.lower() if space in ("", NAMESPACE) else ""

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal dropping, depth
        name = name_of(tag)
        depth += 1
        dropping += name in _DROPPED
        if dropping:
            return
        if name in _READ and depth <= DEPTH:
            rest = "".join(f' {k}="{escape(v)}"' for k, v in attributes.items() if k in _WRITTEN)
            # An HTML reader drops a line end that follows <pre>.
            out.append(f"<{name}{rest}>\n" if name == "pre" else f"<{name}{rest}>")
        elif name not in _INLINE:
            out.append(" ")

    def end(tag: str) -> None:
        nonlocal dropping, depth
        name = name_of(tag)
        depth -= 1
        if dropping:
            dropping -= name in _DROPPED
        elif name in _READ and depth < DEPTH:
            if name not in _VOID and name != "input":
                out.append(f"</{name}>")
        elif name not in _INLINE:
            out.append(" ")

    def text(found: str) -> None:
        if not dropping:
            out.append(escape(found))

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    try:
        parser.Parse(f"<html>{_NAMED.sub(spelled, xhtml)}</html>", True)
    except expat.ExpatError:
        return None
    return "".join(out[1:-1])


class _Writer(HTMLParser):
    """Writes the HTML that nh3 made as XML, with the elements of txt-1 only."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._out: list[str] = []
        self._open: list[str] = []
        self._ends: list[str] = []
        self._top = 0
        self._seen = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in _TICKED:
            self._tick(tag, values)
            return
        if tag == "img" and not values.get("src"):
            alternative = values.get("alt", "").strip()
            self.handle_data(f"[picture not included: {alternative}]" if alternative else "[picture not included]")
            return
        struck = tag in _STRUCK or "line-through" in values.get("style", "")
        if struck:
            values["style"] = ""
        name = "div" if tag in _BLOCKS else "ul" if tag in _LISTS else "span" if tag in _STRUCK else tag
        written = "".join(f' {k}="{escape(v)}"' for k, v in values.items() if v or k not in ("style", "href"))
        if tag in _VOID:
            self._seen = self._seen or tag == "img"
            self._top += not self._open
            self._out.append(f"<{name}{written}/>")
            return
        deep = len(self._open) >= DEPTH
        self._top += not self._open
        self._out.append(" " if deep else f"<{name}{written}>")
        if struck:
            self._out.append("[crossed out: ")
        self._open.append(tag)
        self._ends.append(("]" if struck else "") + (" " if deep else f"</{name}>"))

    def handle_endtag(self, tag: str) -> None:
        # nh3 closes what it opens, in order; anything else would be a fault of the two readers to agree.
        if self._open and self._open[-1] == tag:
            self._open.pop()
            self._out.append(self._ends.pop())

    def handle_data(self, data: str) -> None:
        if data.strip():
            self._seen = True
            self._top += not self._open
        self._out.append(escape(data))

    def narrative(self) -> str:
        while self._ends:
            self._out.append(self._ends.pop())
        if not self._seen:
            return ""
        inner = "".join(self._out).strip()
        if self._top == 1 and inner.startswith("<div") and inner.endswith("</div>"):
            return f'<div xmlns="{NAMESPACE}"{inner[4:]}'
        return div(inner)

    def _tick(self, tag: str, values: dict[str, str]) -> None:
        kind = values.get("type", "").lower()
        if kind == "hidden":
            return
        if tag == "option" or kind in ("checkbox", "radio"):
            self.handle_data(" [x] " if "checked" in values or "selected" in values else " [ ] ")
        elif values.get("value"):
            self.handle_data(f" {values['value']} ")
