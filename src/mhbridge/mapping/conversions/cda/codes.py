"""
Coded values of CDA as item values, and the words that they refer to.

This module must never guess the system of a code from its looks.
"""

from __future__ import annotations

from typing import Any

from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.conversions.at import XSI, At, leaf
from mhbridge.mapping.conversions.cda.identifiers import system_of
from mhbridge.mapping.conversions.cda.reasons import null
from mhbridge.mapping.conversions.primitives import CHECKED

__all__ = ["as_code", "as_coded", "concept", "declared_type", "original", "referred"]


def as_coding(at: At, context: Context) -> dict[str, Any]:
    found: dict[str, Any] = {}
    code = at.take("code")
    if not code:
        return found
    system = at.take("codeSystem")
    if system:
        found["system"] = system_of(system, context) or system
        if version := at.take("codeSystemVersion"):
            found["version"] = version
    elif name := at.take("codeSystemName"):
        found["system"] = context.systems.named(name) or name
    found["code"] = code
    if display := at.take("displayName"):
        found["display"] = display
    return found


def referred(at: At) -> str:
    """The words that a reference to the narrative means (HL7 CDA R2 §4.3.5.1)."""
    reference = at.one("reference")
    name = reference.peek("value") if reference is not None else ""
    target = at.tree.with_id(name[1:]) if name.startswith("#") else None
    if reference is None or target is None:
        return ""
    reference.take("value")
    if at.seen is not None:
        at.seen.add(leaf(target, at.tree.keys[target].index("ID") + 1))
    return At(at.tree, target, at.seen).words()


def original(at: At) -> str:
    """originalText: its own words, or those that it refers to."""
    text = at.one("originalText")
    if text is None:
        return ""
    own = text.words()
    return own or referred(text)


def concept(at: At, context: Context) -> Any:
    """CD, CE, CV, CS: the code, its translations, the words; also a text in the place of a code."""
    codings = [coding for one in (at, *at.all("translation")) if (coding := as_coding(one, context))]
    text = original(at)
    if not text and not codings:
        # OTH with a name, or a plain ST where a code was expected.
        text = at.take("displayName") or (at.own() if at.bare else "")
    found: dict[str, Any] = {}
    if codings:
        found["coding"] = codings
    if text:
        found["text"] = text
    return found or null(at)


def as_code(at: At, _context: Context) -> Any:
    """The code alone."""
    code = at.take("code")
    return CHECKED["code"](code) if code else null(at)


def declared_type(at: At) -> str:
    """`xsi:type` without its prefix."""
    return at.peek(f"{XSI}type").rpartition(":")[2]


def as_coded(at: At, context: Context) -> Any:
    """A coded value; what another `xsi:type` says to be none is none."""
    kind = declared_type(at)
    if kind and kind not in ("CD", "CE", "CV", "CO", "CS", "CR", "ST", "SC"):
        raise Unconvertible("not a coded value")
    if kind:
        at.take(f"{XSI}type")
    return concept(at, context)
