"""
What a message of FHIR says about itself: its kind, its number, who sent it and when. It must never guess a kind.
"""

from __future__ import annotations

import hashlib
from typing import Final

from mhbridge.formats import Source
from mhbridge.formats.fhir.graph import Graph, leaf, type_of
from mhbridge.formats.json.reach import walk
from mhbridge.formats.json.tree import Node, said
from mhbridge.model import MessageFacts

__all__ = ["control_id", "facts", "kind", "means"]

_MOST_ID: Final = 200
#: v3-ActReason: test health data (HL7 Terminology).
_TEST: Final = "HTEST"


def kind(graph: Graph) -> str:
    """`document`, `message/ITK004D`, `Patient`."""
    top = graph.top
    name = type_of(top)
    if name != "Bundle":
        return name
    found = _text(leaf(top, "type")) or "Bundle"
    if found == "message":
        headers = graph.resources.get("MessageHeader", [])
        places = (("event", "code"), ("eventCoding", "code"), ("eventUri",))
        event = next((text for at in places if headers and (text := _text(leaf(headers[0], *at)))), "")
        return f"message/{event}" if event and " " not in event else found
    return found


def means(graph: Graph, source: Source) -> bool:
    """Whether a mapping's source takes the message."""
    known = kind(graph)
    if not source.options["messages"].intersection({known, known.partition("/")[0]}):
        return False
    return all(
        any(node.end > node.first and said(node).strip() in wanted for node in walk(graph.top, path.steps))
        for path, wanted in source.options.get("where", ())
    )


def control_id(graph: Graph, body: bytes, part: Node | None = None) -> str:
    """
    The number of a message: the Bundle's identifier, else the id of its MessageHeader, else its own bytes.

    Args:
        part: of several documents in one message, the one that this is.
    """
    top = graph.top
    headers = graph.resources.get("MessageHeader", [])
    found = _text(leaf(top, "identifier", "value")) if type_of(top) == "Bundle" else ""
    found = found or (_text(leaf(headers[0], "id")) if headers else "")
    found = found or hashlib.blake2b(body.strip(), digest_size=8).hexdigest()
    if part is not None:
        found = f"{found}/{_text(leaf(part, 'identifier', 'value')) or _text(leaf(part, 'id'))}"
    return found if len(found) <= _MOST_ID else hashlib.blake2b(found.encode(), digest_size=16).hexdigest()


def facts(name: str, graph: Graph, number: str, version: str, place: str) -> MessageFacts:
    """All of it."""
    headers = graph.resources.get("MessageHeader", [])
    header = headers[0] if headers else None
    sent = _text(leaf(header, "timestamp")) or (
        _text(leaf(graph.top, "timestamp")) if type_of(graph.top) == "Bundle" else ""
    )
    trial = any(
        _text(leaf(resource, "meta", "security", "code")) == _TEST
        for one in ("Bundle", "MessageHeader", "Composition", "Patient")
        for resource in graph.resources.get(one, ())
    )
    return MessageFacts(
        name, kind(graph), number, _text(leaf(header, "source", "endpoint")), sent, version, place, trial
    )  # fmt: skip


def _text(node: Node | None) -> str:
    """A leaf as text that can go into a log."""
    if node is None:
        return ""
    text = said(node).strip()
    return text if text.isprintable() else ""
