"""
The invariants of UK Core's profiles (staging of 2025-06-20), each named by its key.
"""

from __future__ import annotations

from typing import Final

from mhbridge.fhir.invariants.asking import Node, chosen, has, nodes
from mhbridge.fhir.invariants.declared import Declared
from mhbridge.model import Severity

__all__ = ["DECLARED"]

DECLARED: Final = Declared()
on = DECLARED.on


R5: Final = "http://hl7.org/fhir/5.0/StructureDefinition/extension-"


def _extended(node: Node, url: str) -> bool:
    return any(extension.get("url") == url for extension in nodes(node, "extension"))


@on("UKCore-Observation-VitalSigns", "ukcore-obs-vs-001")
def ukcore_obs_vs_001(node: Node) -> bool:
    """The code.coding SHALL include a LOINC "magic code"."""
    codings = [coding for concept in nodes(node, "code") for coding in nodes(concept, "coding")]
    return any(coding.get("system") == "http://loinc.org" for coding in codings)


@on("UKCore-Observation-Lab", "ukcore-obs-lab-001", severity=Severity.WARNING)
def ukcore_obs_lab_001(node: Node) -> bool:
    """Either value, dataAbsentReason or note SHOULD be populated."""
    return chosen(node, "value") or has(node, "dataAbsentReason", "note")


@on("UKCore-Observation-Group-Lab", "ukcore-obs-grplab-001", severity=Severity.WARNING)
def ukcore_obs_grplab_001(node: Node) -> bool:
    """The value[x] SHOULD NOT be used within this profile."""
    return not chosen(node, "value")


@on("UKCore-DiagnosticReport-Lab", "ukcore-diag-lab-001", severity=Severity.WARNING)
def ukcore_diag_lab_001(node: Node) -> bool:
    """An issued time SHOULD be present if the report has a result."""
    shown = ("partial", "preliminary", "final", "amended", "corrected", "appended")
    return has(node, "issued") or node.get("status") not in shown


@on("UKCore-DiagnosticReport", "ukcore-diag-lab-002")
def ukcore_diag_lab_002(node: Node) -> bool:
    """If the R5 media link is used then DiagnosticReport.media.link reference SHALL be empty."""
    media = nodes(node, "media")
    linked = any(has(link, "reference") for item in media for link in nodes(item, "link"))
    return not linked or not any(_extended(item, f"{R5}DiagnosticReport.media.link") for item in media)


@on("UKCore-Specimen", "ukcore-spec-001")
def ukcore_spec_001(node: Node) -> bool:
    """Only one of Specimen.collection.collector or its R5 extension can be populated at a time."""
    return not any(
        any(has(collector, "reference") for collector in nodes(collection, "collector"))
        and _extended(collection, f"{R5}Specimen.collection.collector")
        for collection in nodes(node, "collection")
    )


@on("UKCore-Immunization", "ukcore-imm-001")
def ukcore_imm_001(node: Node) -> bool:
    """If the immunization was not given, statusReason SHALL be populated."""
    return node.get("status") != "not-done" or has(node, "statusReason")
