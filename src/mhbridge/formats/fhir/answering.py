"""
The answer to a message of FHIR: a Bundle with a MessageHeader that says to which, and an OperationOutcome (FHIR R4
§2.4.4). STU3 is answered in STU3, XML in XML.

Everything in it is derived from the message and the answer, so that a repeat gets the same. It must never hold anything
that was sent but the message's own number and event.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import quoteattr

from mhbridge.errors import MessageError
from mhbridge.formats.fhir.graph import leaf
from mhbridge.formats.json.tree import said
from mhbridge.model import Answer, Severity, Verdict

if TYPE_CHECKING:
    from mhbridge.formats.fhir import Fhir, Message

__all__ = ["response"]

_SPACE: Final = uuid.UUID("6f1c2a52-6d0e-5f43-9d0c-1b7a63f0c5e4")
_CODES: Final = {Verdict.ACCEPTED: "ok", Verdict.REFUSED: "fatal-error", Verdict.REJECTED: "fatal-error"}
_CATALOGUE: Final = "urn:mhbridge:diagnostics"


def response(format_: Fhir, body: bytes, answer: Answer, *, name: str) -> bytes:
    """The answer to a message; nothing where what came is none."""
    try:
        found = [one for one, _ in format_.messages(body, [])]
    except MessageError:
        return b""
    message: Any = found[0] if found else None
    if message is None or isinstance(message, MessageError) or not message.facts.kind.startswith("message"):
        return b""
    headers = message.graph.resources.get("MessageHeader", [])
    if not headers or leaf(headers[0], "response", "identifier") is not None:
        return b""  # an answer is never answered
    made = _bundle(message, headers[0], answer, name)
    markup = body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
    return _xml(made).encode() if markup else json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()


def _bundle(message: Message, header: Any, answer: Answer, name: str) -> dict[str, Any]:
    at = answer.answered_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    number = message.facts.control_id.partition("/")[0]
    ids = [str(uuid.uuid5(_SPACE, f"{what} {number} {at}")) for what in ("bundle", "header", "outcome")]
    event, coding, uri = leaf(header, "event", "code"), leaf(header, "eventCoding", "code"), leaf(header, "eventUri")
    stu3 = coding is None and uri is None
    source = {"name": name, "endpoint": f"urn:mhbridge:{name}"}
    head: dict[str, Any] = {"resourceType": "MessageHeader", "id": ids[1]}
    if event is not None or coding is not None:
        where = "event" if stu3 else "eventCoding"
        parts = {part: leaf(header, where, part) for part in ("system", "code")}
        head[where] = {part: said(node) for part, node in parts.items() if node is not None}
    elif uri is not None:
        head["eventUri"] = said(uri)
    if stu3:
        head["timestamp"] = at
    own = leaf(header, "id")
    head |= {
        "source": source,
        "response": {
            "identifier": said(own) if own is not None and not stu3 else number,
            "code": _CODES[answer.verdict],
            "details": {"reference": f"urn:uuid:{ids[2]}"},
        },
    }
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "id": ids[0],
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{ids[0]}"},
        "type": "message",
    }
    if not stu3:
        bundle["timestamp"] = at
    bundle["entry"] = [
        {"fullUrl": f"urn:uuid:{ids[1]}", "resource": head},
        {"fullUrl": f"urn:uuid:{ids[2]}", "resource": _outcome(answer, ids[2])},
    ]
    return bundle


def _outcome(answer: Answer, name: str) -> dict[str, Any]:
    bad = answer.verdict is not Verdict.ACCEPTED
    severity = "error" if bad else "warning" if answer.code else "information"
    issues = [(answer.code or "D900", severity, answer.text)]
    issues += [(issue.code, issue.severity.value, issue.text) for issue in answer.issues if issue.code != answer.code]
    kinds = {Severity.ERROR.value: "processing", Severity.WARNING.value: "processing"}
    listed = [
        {
            "severity": how,
            "code": kinds.get(how, "informational"),
            "details": {"coding": [{"system": _CATALOGUE, "code": code}], "text": text},
        }
        for code, how, text in issues
    ]
    return {"resourceType": "OperationOutcome", "id": name, "issue": listed}


def _xml(resource: dict[str, Any]) -> str:
    return '<?xml version="1.0" encoding="UTF-8"?>' + _element(
        resource["resourceType"], {key: one for key, one in resource.items() if key != "resourceType"}, top=True
    )


def _element(name: str, value: Any, *, top: bool = False) -> str:
    space = ' xmlns="http://hl7.org/fhir"' if top else ""
    if isinstance(value, list):
        return "".join(_element(name, one) for one in value)
    if not isinstance(value, dict):
        return f"<{name} value={quoteattr(str(value))}/>"
    inner = {key: one for key, one in value.items() if key != "resourceType"}
    own = "".join(_element(key, one) for key, one in inner.items())
    if "resourceType" in value:
        own = f"<{value['resourceType']}>{own}</{value['resourceType']}>"
    return f"<{name}{space}>{own}</{name}>"
