"""
What NHS systems wrap round a document: a SOAP envelope, and in it the DistributionEnvelope of the ITK.

ITK 2, distribution envelope of 2010/05: a header that says who sends it to whom and what is asked in return, and
payloads. A payload is taken as it stands; one that is encoded, compressed or encrypted is not opened. This module must
never follow an address.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats.xml.tree import Element
from mhbridge.model import Issue, Severity

__all__ = ["ITK", "SOAP", "Wrapped", "unwrapped"]

ITK: Final = "urn:nhs-itk:ns:201005"
SOAP: Final = ("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope")

_ENVELOPE: Final = f"{{{ITK}}}DistributionEnvelope"
_ACKNOWLEDGEMENTS: Final = {
    "urn:nhs-itk:ns:201005:infackrequested": "an infrastructure acknowledgement",
    "urn:nhs-itk:ns:201005:ackrequested": "an acknowledgement",
}
#: Manifest attributes that say that a payload is not the document itself.
_CODED: Final = ("base64", "compressed", "encrypted")


@dataclass(frozen=True, slots=True)
class Wrapped:
    """
    An envelope and what is in it.

    Args:
        envelope: the DistributionEnvelope.
        documents: the root elements of its payloads.
        sender: its address.
        tracking: the id of this sending.
        acted: (element, number of the bit) of what is read of the header.
        issues: what the sender asks for, and what does not fit.
    """

    envelope: Element
    documents: tuple[Element, ...]
    sender: str
    tracking: str
    acted: tuple[tuple[Element, int], ...]
    issues: tuple[Issue, ...]


def unwrapped(outer: Element) -> Wrapped | None:
    """
    The envelope that a document is; `None` when it is none.

    Raises:
        MalformedMessage: M807, it is one, and no document can be taken out of it.
    """
    envelope = _envelope(outer)
    if envelope is None:
        return None
    header = _child(envelope, "header")
    payloads = [one for holder in _children(envelope, "payloads") for one in _children(holder, "payload")]
    manifest = [] if header is None else [
        item for one in _children(header, "manifest") for item in _children(one, "manifestitem")
    ]  # fmt: skip
    if any(item.attributes.get(name, "").lower() == "true" for item in manifest for name in _CODED):
        raise MalformedMessage("M807", "a payload of the ITK envelope is encoded, compressed or encrypted")
    documents: list[Element] = []
    for payload in payloads:
        if len(payload.children) != 1 or payload.own:
            raise MalformedMessage("M807", "a payload of the ITK envelope is not one XML document")
        documents.append(payload.children[0])
    if not documents:
        raise MalformedMessage("M807", "the ITK envelope has no payload")
    acted: list[tuple[Element, int]] = []
    issues: list[Issue] = []
    sender = tracking = ""
    if header is not None:
        tracking = _take(header, "trackingid", acted)
        address = _child(header, "senderAddress")
        if address is not None:
            sender = _take(address, "uri", acted)
        for specification in _children(header, "handlingSpecification"):
            for spec in _children(specification, "spec"):
                wanted = _ACKNOWLEDGEMENTS.get(spec.attributes.get("key", ""))
                if wanted and spec.attributes.get("value", "").lower() == "true":
                    acted += [(spec, spec.bit("key")), (spec, spec.bit("value"))]
                    text = f"the sender asks for {wanted} of the ITK; what it is told is the answer of the transport"
                    issues.append(Issue("M810", Severity.INFORMATION, text))
    if header is not None and len(manifest) != len(documents):
        text = f"the manifest of the ITK envelope names {len(manifest)} payloads, and there are {len(documents)}"
        issues.append(Issue("M811", Severity.WARNING, text))
    return Wrapped(envelope, tuple(documents), sender, tracking, tuple(acted), tuple(issues))


def _envelope(outer: Element) -> Element | None:
    if outer.name == _ENVELOPE:
        return outer
    for space in SOAP:
        if outer.name == f"{{{space}}}Envelope":
            bodies = [child for child in outer.children if child.name == f"{{{space}}}Body"]
            inner = [one for body in bodies for one in body.children]
            if len(inner) == 1 and inner[0].name == _ENVELOPE:
                return inner[0]
            # The ITK's own services put one element between the two.
            if len(inner) == 1 and len(inner[0].children) == 1 and inner[0].children[0].name == _ENVELOPE:
                return inner[0].children[0]
    return None


def _children(element: Element, local: str) -> list[Element]:
    name = f"{{{ITK}}}{local}"
    return [child for child in element.children if child.name == name]


def _child(element: Element, local: str) -> Element | None:
    return next(iter(_children(element, local)), None)


def _take(element: Element, attribute: str, acted: list[tuple[Element, int]]) -> str:
    said = element.attributes.get(attribute, "").strip()
    if said:
        acted.append((element, element.bit(attribute)))
    return said
