"""
The invariants of FHIR R4's resources, each named by its key.
"""

from __future__ import annotations

from typing import Final

from mhbridge.fhir.invariants.asking import TERMINOLOGY, UCUM, Node, chosen, coded, has, nodes, number
from mhbridge.fhir.invariants.data_types import per_1
from mhbridge.fhir.invariants.declared import Declared
from mhbridge.model import Severity

__all__ = ["DECLARED"]

DECLARED: Final = Declared()
on = DECLARED.on


_ALLERGY: Final = f"{TERMINOLOGY}allergyintolerance-verification"
_CONDITION: Final = f"{TERMINOLOGY}condition-ver-status"
_CLINICAL: Final = f"{TERMINOLOGY}condition-clinical"


@on("AllergyIntolerance", "ait-1")
def ait_1(node: Node) -> bool:
    """AllergyIntolerance.clinicalStatus SHALL be present if verificationStatus is not entered-in-error."""
    return has(node, "clinicalStatus") or coded(node, "verificationStatus", _ALLERGY, "entered-in-error")


@on("AllergyIntolerance", "ait-2", "verificationStatus")
def ait_2(node: Node) -> bool:
    """AllergyIntolerance.clinicalStatus SHALL NOT be present if verificationStatus is entered-in-error."""
    return not (has(node, "clinicalStatus") and coded(node, "verificationStatus", _ALLERGY, "entered-in-error"))


@on("Appointment.participant", "app-1")
def app_1(node: Node) -> bool:
    """Either the type or actor on the participant SHALL be specified."""
    return has(node, "type", "actor")


@on("Appointment", "app-2")
def app_2(node: Node) -> bool:
    """Either start and end are specified, or neither."""
    return has(node, "start") == has(node, "end")


@on("Appointment", "app-3")
def app_3(node: Node) -> bool:
    """Only proposed or cancelled appointments can be missing start/end dates."""
    return (has(node, "start") and has(node, "end")) or node.get("status") in ("proposed", "cancelled", "waitlist")


@on("Appointment", "app-4", "cancelationReason")
def app_4(node: Node) -> bool:
    """Cancelation reason is only used for appointments that have been cancelled, or no-show."""
    return not has(node, "cancelationReason") or node.get("status") in ("noshow", "cancelled")


@on("Composition.section", "cmp-1")
def cmp_1(node: Node) -> bool:
    """A section must contain at least one of text, entries, or sub-sections."""
    return has(node, "text", "entry", "section")


@on("Composition.section", "cmp-2", "emptyReason")
def cmp_2(node: Node) -> bool:
    """A section can only have an emptyReason if it is empty."""
    return not (has(node, "emptyReason") and has(node, "entry"))


@on("Condition.stage", "con-1")
def con_1(node: Node) -> bool:
    """Stage SHALL have summary or assessment."""
    return has(node, "summary", "assessment")


@on("Condition.evidence", "con-2")
def con_2(node: Node) -> bool:
    """Evidence SHALL have code or details."""
    return has(node, "code", "detail")


@on("Condition", "con-3", "category", severity=Severity.WARNING)
def con_3(node: Node) -> bool:
    """Condition.clinicalStatus SHALL be present in the problem list, unless the Condition is entered in error."""
    return (
        has(node, "clinicalStatus")
        or coded(node, "verificationStatus", _CONDITION, "entered-in-error")
        or not coded(node, "category", f"{TERMINOLOGY}condition-category", "problem-list-item")
    )


@on("Condition", "con-4")
def con_4(node: Node) -> bool:
    """If condition is abated, then clinicalStatus must be either inactive, resolved, or remission."""
    return not chosen(node, "abatement") or coded(
        node, "clinicalStatus", _CLINICAL, "resolved", "remission", "inactive"
    )


@on("Condition", "con-5", "verificationStatus")
def con_5(node: Node) -> bool:
    """Condition.clinicalStatus SHALL NOT be present if verificationStatus is entered-in-error."""
    return not (has(node, "clinicalStatus") and coded(node, "verificationStatus", _CONDITION, "entered-in-error"))


@on("CarePlan.activity", "cpl-3", "detail")
def cpl_3(node: Node) -> bool:
    """Provide a reference or detail, not both."""
    return not (has(node, "detail") and has(node, "reference"))


@on("CareTeam.participant", "ctm-1", "onBehalfOf")
def ctm_1(node: Node) -> bool:
    """CareTeam.participant.onBehalfOf can only be populated when the member is a Practitioner."""
    return not has(node, "onBehalfOf") or all(_kind(member) in ("", "Practitioner") for member in nodes(node, "member"))


def _kind(reference: Node) -> str:
    """The resource type that a Reference names, if it names one; a Bundle's own addresses are `bundle_rules`'s."""
    named, address = reference.get("type"), reference.get("reference")
    if isinstance(named, str):
        return named.rpartition("/")[2]
    kind = address.partition("/")[0] if isinstance(address, str) else ""
    return kind if kind.isalpha() and kind[:1].isupper() else ""


@on("FamilyMemberHistory", "fhs-1")
def fhs_1(node: Node) -> bool:
    """Can have age[x] or born[x], but not both."""
    return not (chosen(node, "age") and chosen(node, "born"))


@on("FamilyMemberHistory", "fhs-2", "estimatedAge", "_estimatedAge")
def fhs_2(node: Node) -> bool:
    """Can only have estimatedAge if age[x] is present."""
    return not has(node, "estimatedAge") or chosen(node, "age")


@on("Goal.target", "gol-1")
def gol_1(node: Node) -> bool:
    """Goal.target.measure is required if Goal.target.detail is populated."""
    return not chosen(node, "detail") or has(node, "measure")


@on("Immunization.education", "imm-1")
def imm_1(node: Node) -> bool:
    """One of documentType or reference SHALL be present."""
    return has(node, "documentType", "reference")


@on("Parameters.parameter", "inv-1")
def inv_1(node: Node) -> bool:
    """A parameter must have one and only one of (value, resource, part)."""
    return chosen(node, "value") + has(node, "resource") + has(node, "part") == 1


@on("List", "lst-1", "emptyReason")
def lst_1(node: Node) -> bool:
    """A list can only have an emptyReason if it is empty."""
    return not (has(node, "emptyReason") and has(node, "entry"))


@on("List", "lst-2", "entry")
def lst_2(node: Node) -> bool:
    """The deleted flag can only be used if the mode of the list is "changes"."""
    return node.get("mode") == "changes" or not any(has(entry, "deleted") for entry in nodes(node, "entry"))


@on("List", "lst-3", "entry")
def lst_3(node: Node) -> bool:
    """An entry date can only be used if the mode of the list is "working"."""
    return node.get("mode") == "working" or not any(has(entry, "date") for entry in nodes(node, "entry"))


@on("MedicationAdministration.dosage", "mad-1")
def mad_1(node: Node) -> bool:
    """SHALL have at least one of dosage.dose or dosage.rate[x]."""
    return has(node, "dose") or chosen(node, "rate")


@on("MedicationDispense", "mdd-1", "whenHandedOver")
def mdd_1(node: Node) -> bool:
    """The medicine cannot be handed over before it is prepared."""
    return per_1({"start": node.get("whenPrepared"), "end": node.get("whenHandedOver")})


@on("Observation.referenceRange", "obs-3")
def obs_3(node: Node) -> bool:
    """Must have at least a low or a high or text."""
    return has(node, "low", "high", "text")


@on("Observation", "obs-6", "dataAbsentReason")
def obs_6(node: Node) -> bool:
    """DataAbsentReason SHALL only be present if Observation.value[x] is not present."""
    return not (has(node, "dataAbsentReason") and chosen(node, "value"))


@on("Observation", "obs-7", "component")
def obs_7(node: Node) -> bool:
    """If Observation.code is the same as a component's code, the value element SHALL NOT be present."""
    if not chosen(node, "value"):
        return True
    own = [coding for concept in nodes(node, "code") for coding in nodes(concept, "coding")]
    return not any(
        coding in own
        for component in nodes(node, "component")
        for concept in nodes(component, "code")
        for coding in nodes(concept, "coding")
    )


@on("Organization", "org-1")
def org_1(node: Node) -> bool:
    """The organization SHALL at least have a name or an identifier, and possibly more than one."""
    return has(node, "identifier", "name")


@on("Organization", "org-2", "address")
def org_2(node: Node) -> bool:
    """An address of an organization can never be of use 'home'."""
    return not any(address.get("use") == "home" for address in nodes(node, "address"))


@on("Organization", "org-3", "telecom")
def org_3(node: Node) -> bool:
    """The telecom of an organization can never be of use 'home'."""
    return not any(point.get("use") == "home" for point in nodes(node, "telecom"))


@on("Patient.contact", "pat-1")
def pat_1(node: Node) -> bool:
    """SHALL at least contain a contact's details or a reference to an organization."""
    return has(node, "name", "telecom", "address", "organization")


@on("Consent", "ppc-1")
def ppc_1(node: Node) -> bool:
    """Either a Policy or PolicyRule."""
    return has(node, "policy", "policyRule")


@on("ServiceRequest", "prr-1", "orderDetail")
def prr_1(node: Node) -> bool:
    """The orderDetail SHALL only be present if code is present."""
    return not has(node, "orderDetail") or has(node, "code")


@on("QuestionnaireResponse.item", "qrs-1", "answer")
def qrs_1(node: Node) -> bool:
    """Nested item can't be beneath both item and answer."""
    return not (has(node, "answer") and has(node, "item"))


@on("RiskAssessment.prediction", "ras-1", "probabilityRange")
def ras_1(node: Node) -> bool:
    """Low and high must be percentages, if present."""
    ends = [end for span in nodes(node, "probabilityRange") for name in ("low", "high") for end in nodes(span, name)]
    return all(end.get("code") == "%" and end.get("system") == UCUM for end in ends)


@on("RiskAssessment.prediction", "ras-2", "probabilityDecimal")
def ras_2(node: Node) -> bool:
    """Must be <= 100."""
    value = number(node, "probabilityDecimal")
    return value is None or value <= 100


@on("RequestGroup.action", "rqg-1")
def rqg_1(node: Node) -> bool:
    """Must have resource or action but not both."""
    return has(node, "resource") != has(node, "action")


@on("AuditEvent.entity", "sev-1", "query", "_query")
def sev_1(node: Node) -> bool:
    """Either a name or a query (NOT both)."""
    return not (has(node, "name") and has(node, "query"))
