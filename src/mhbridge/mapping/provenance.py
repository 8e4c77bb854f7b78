"""
Says in FHIR where each resource of a Bundle came from (`provenance: true` in a mapping): a Provenance for every one.

It names the message, the mapping with its hash, and the source paths that the resource's values may come from, as
static lineage has them. This module must never put a value of the message into one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from mhbridge.fhir.bundle import resource_id
from mhbridge.mapping.assembly import Built
from mhbridge.mapping.run import Run
from mhbridge.model import Recorded

__all__ = ["Origin", "as_recorded", "provenance"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Not from the locale of whatever machine this runs on.
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip

#: R4 provenance-agent-type: a device that puts together what others said.
_ASSEMBLER: Final[Mapping[str, str]] = {
    "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
    "code": "assembler",
    "display": "Assembler",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """
    What all resources of a mapping have in common.

    Args:
        mapping: `supplier/feed`.
        hash: content hash of everything the mapping consists of.
        supplier: its name for people.
        paths: name of a resource in the build → source paths.
    """

    mapping: str
    hash: str
    supplier: str
    paths: Mapping[str, Sequence[str]]


def as_recorded(one: Recorded, zone: ZoneInfo) -> str:
    """When and in what kind of message something was said that a letter does not say itself, in words."""
    at = (_EPOCH + timedelta(microseconds=one.at)).astimezone(zone)
    day = f"{at.day} {_MONTHS[at.month - 1]} {at.year}"
    # A date without a time of day is midnight here, which nobody said.
    when = day if (at.hour, at.minute) == (0, 0) else f"{day} at {at:%H:%M}"
    return f"as recorded on {when} in a message of kind {one.kind}"


def provenance(
    built: Sequence[Built],
    origin: Origin,
    run: Run,
    seed: tuple[str, ...],
    said: Mapping[str, Sequence[tuple[str, str]]] | None = None,
) -> list[Built]:
    """
    A Provenance of every resource that was built.

    Args:
        said: name of a resource in the build → what of it an earlier message said: label, and when and where.
    """
    said = said or {}
    return [_one(one, origin, run, resource_id(*seed, "provenance", one.url), said.get(one.name, ())) for one in built]


def _one(built: Built, origin: Origin, run: Run, identity: str, said: Sequence[tuple[str, str]]) -> Built:
    paths = origin.paths.get(built.name, ())
    told = f"{', '.join(paths)} of a message from {origin.supplier}" if paths else f"a message from {origin.supplier}"
    what: dict[str, Any] = {"display": told}
    if run.facts.control_id:
        what["identifier"] = {"value": run.facts.control_id}
    resource = {
        "resourceType": "Provenance",
        "id": identity,
        "target": [{"reference": built.url}],
        "recorded": run.message["received_at"],
        "activity": {"text": f"Translated by the mapping {origin.mapping}"},
        "agent": [
            {
                "type": {"coding": [dict(_ASSEMBLER)]},
                "who": {
                    "type": "Device",
                    "identifier": {"type": {"text": "hash of the mapping"}, "value": origin.hash},
                    "display": f"mhbridge, mapping {origin.mapping}",
                },
            }
        ],
        "entity": [
            {"role": "source", "what": what},
            *(
                {"role": "source", "what": {"display": f"{label}, {when}, from {origin.supplier}"}}
                for label, when in said
            ),
        ],
    }
    return Built(f"provenance of {built.name}", f"urn:uuid:{identity}", resource)
