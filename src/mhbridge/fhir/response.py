"""
A response message: what a MessageHeader with `response` says of the message that it answers (R4, Messaging).

This module must never look at anything of a response but whose it is, its code, and the codes of its issues.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Response", "response_in"]


class Response(NamedTuple):
    """
    What was answered.

    Args:
        message: id of the message that is answered, without `urn:uuid:`.
        code: `ok`, `transient-error` or `fatal-error` (R4, response-code).
    """

    message: str
    code: str


def response_in(resource: Mapping[str, Any] | None) -> Response | None:
    """The response that a Bundle of type `message`, or a MessageHeader alone, is; `None` when it is none."""
    header: Any = resource
    if resource is not None and resource.get("resourceType") == "Bundle":
        if resource.get("type") != "message":
            return None
        # bdl-12: a message begins with its header.
        entries = resource.get("entry")
        first = entries[0] if isinstance(entries, list) and entries else None
        header = first.get("resource") if isinstance(first, dict) else None
    if not isinstance(header, Mapping) or header.get("resourceType") != "MessageHeader":
        return None
    said = header.get("response")
    if not isinstance(said, Mapping):
        return None
    message, code = said.get("identifier"), said.get("code")
    # In STU3, which ITK3 is of, it is an Identifier; in R4 it is an id.
    message = message.get("value") if isinstance(message, Mapping) else message
    if not isinstance(message, str) or code not in ("ok", "transient-error", "fatal-error"):
        return None
    return Response(message.removeprefix("urn:uuid:"), code)
