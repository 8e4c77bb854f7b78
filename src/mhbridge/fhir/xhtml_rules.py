"""
Whether the `div` of a Narrative is what FHIR R4 allows: well-formed XHTML, of the listed elements, that can do nothing.

This module must never mend a narrative (that is `xhtml`) and never quote one: its findings are fixed sentences.
"""

from __future__ import annotations

import re
from typing import Final
from xml.parsers import expat

from mhbridge.fhir.xhtml import ELEMENTS, NAMESPACE

__all__ = ["faults", "is_clean"]

# FHIR R4, Narrative, invariant txt-1, as its XPath lists them; `xml:lang` and `xml:space` are XML's own.
_ATTRIBUTES: Final = """
    abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset cite
    class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel rev
    rowspan rules scope shape span src start style summary tabindex title type valign value vspace width
"""
ATTRIBUTES: Final = frozenset(_ATTRIBUTES.split())
XML: Final = "http://www.w3.org/XML/1998/namespace"

# A browser passes over white space and control characters before and inside a scheme.
_IGNORED: Final = re.compile(r"[\x00-\x20\x7f-\xa0]+")
_ACTIVE: Final = re.compile(r"(?:javascript|vbscript|data):", re.IGNORECASE)
_PICTURE: Final = re.compile(r"data:image/(?:png|gif|jpeg);", re.IGNORECASE)
_OUTSIDE: Final = re.compile(r"url\s*\(|expression\s*\(|@import|javascript:", re.IGNORECASE)

_Fault = tuple[str, str]


class _Doctype(Exception):
    """A document type declaration: the only way to entities of one's own, and to an endless expansion of them."""


def faults(div: str) -> list[_Fault]:
    """
    What is wrong with a narrative, as (code, sentence).

    `V111`: it is not well-formed XHTML with a `div` as its root, or says nothing. `V112`: it holds an element or
    attribute that a narrative must not have, such as a script.
    """
    found: dict[_Fault, None] = {}
    depth = 0
    says_something = False

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, says_something
        depth += 1
        space, _, name = tag.rpartition(" ")
        if depth == 1 and tag != f"{NAMESPACE} div":
            found["V111", f"the root of a narrative must be a div in the namespace {NAMESPACE}"] = None
        elif space != NAMESPACE or name not in ELEMENTS:
            found["V112", "the narrative has an element that FHIR does not allow there"] = None
        for key, value in attributes.items():
            if reason := _attribute_fault(name, key, value):
                found["V112", reason] = None
        says_something = says_something or (name == "img" and "src" in attributes)

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def text(content: str) -> None:
        nonlocal says_something
        says_something = says_something or not content.isspace()

    def doctype(*_: object) -> None:
        raise _Doctype

    def instruction(*_: object) -> None:
        found["V112", "the narrative has a processing instruction"] = None

    parser = expat.ParserCreate("utf-8", " ")
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    parser.ProcessingInstructionHandler = instruction
    try:
        parser.Parse(div.encode("utf-8"), True)
    except _Doctype:
        return [("V111", "the narrative has a document type declaration")]
    except (expat.ExpatError, UnicodeEncodeError):
        return [("V111", "the narrative is not well-formed XHTML")]
    if not says_something:
        found["V111", "the narrative has neither text nor a picture"] = None  # txt-2
    return list(found)


#: Start tag, without its brackets → the end tag that must follow.
_ENDS: Final = {name: f"/{name}" for name in ELEMENTS - {"br", "col", "hr", "img"}} | {'table border="1"': "/table"}
_ROOT: Final = f'<div xmlns="{NAMESPACE}">'
#: What is no character of XML 1.0 (§2.2).
_NO_CHARACTER: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNKNOWN: Final = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#39|#34|#x27);)")


#: What stands behind a tag; and something there that is more than a blank.
_BEHIND: Final = re.compile(">[^<]+")
_SAID: Final = re.compile(r">\s*[^<\s]")
#: Narratives without their text that are right: tags that are listed here and nothing else. Those of a pack are few.
_RIGHT: Final[set[str]] = set()
_MOST: Final = 2048
_LONGEST: Final = 8192


def is_clean(div: str) -> bool:
    """
    Whether a narrative has no fault. True only of plain ones, as `narrative` writes them: elements without attributes.

    It takes a twentieth of the time that `faults` does, which decides about all others.
    """
    if not div.startswith(_ROOT) or not div.endswith("</div>") or "]]>" in div or ("&" in div and _UNKNOWN.search(div)):
        return False
    if not div.replace("\n", "").replace("\t", "").isprintable() and _NO_CHARACTER.search(div):
        return False
    tags = _BEHIND.sub(">", div)
    if tags not in _RIGHT:
        if not _are_right(tags[len(_ROOT) :]):
            return False
        if len(tags) <= _LONGEST:
            if len(_RIGHT) >= _MOST:
                _RIGHT.clear()
            _RIGHT.add(tags)
    return _SAID.search(div, len(_ROOT) - 1) is not None


def _are_right(tags: str) -> bool:
    """Whether these tags, one right behind the other, are known ones that end in order."""
    opened = ["/div"]
    for tag in tags.split("<")[1:]:
        name = tag[:-1]
        if tag[-1:] != ">" or not opened:
            return False
        if name == opened[-1]:
            opened.pop()
        elif (end := _ENDS.get(name)) is not None:
            opened.append(end)
        elif name != "br/":
            return False
    return not opened


def _attribute_fault(element: str, key: str, value: str) -> str:
    space, _, name = key.rpartition(" ")
    if space not in ("", XML) or (not space and name not in ATTRIBUTES):
        return "the narrative has an attribute that FHIR does not allow there"
    if name in ("href", "src", "cite", "longdesc"):
        target = _IGNORED.sub("", value)
        if _ACTIVE.match(target) and not (element == "img" and name == "src" and _PICTURE.match(target)):
            return "the narrative has an address that would run something"
    if name == "style" and _OUTSIDE.search(_IGNORED.sub(" ", value)):
        return "the narrative has a style that reaches outside"
    return ""
