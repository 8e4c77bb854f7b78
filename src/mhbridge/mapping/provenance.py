"""
Says in FHIR where each resource of a Bundle came from (`provenance: true` in a mapping): a Provenance for every one.

It names the message, the mapping with its hash, and the source paths that the resource's values may come from, as
static lineage has them. This module must never put a value of the message into one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mhbridge.fhir.bundle import resource_id
from mhbridge.mapping.assembly import Built
from mhbridge.mapping.run import Run

__all__ = ["Origin", "provenance"]

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


def provenance(built: Sequence[Built], origin: Origin, run: Run, seed: tuple[str, ...]) -> list[Built]:
    """A Provenance of every resource that was built."""
    return [_one(one, origin, run, resource_id(*seed, "provenance", one.url)) for one in built]


def _one(built: Built, origin: Origin, run: Run, identity: str) -> Built:
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
        "entity": [{"role": "source", "what": what}],
    }
    return Built(f"provenance of {built.name}", f"urn:uuid:{identity}", resource)
