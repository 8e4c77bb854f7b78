"""
The invariants of FHIR R4 that apply to what a care-transition gateway writes, each a small function named by its key.

Each function holds when it returns True, and never raises, whatever stands in the node: what is malformed is reported
by the walk, and an invariant is silent about it. `exists()` of FHIRPath is true of a primitive with nothing but
extensions, so presence always asks for `_element`, too.

Elsewhere: ele-1, ext-1, sqty-1, dom-2, dom-4 and dom-5 in the walk (`structure`), txt-1 and txt-2 in
`xhtml_rules`, bdl-1 to bdl-12, dom-3 and, between entries, ctm-1 in `bundle_rules`, dom-6 on request in `validate`.
Left out: ppc-2 to ppc-5, whose published expressions ask for the code system 'something' and so hold always; those of
Questionnaires (que-*) and of the data types in which definitions are written (drq-*, trd-*, exp-1). Where the answer
cannot be known (per-1 of times that overlap in their precision), the invariant holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from mhbridge.model import Severity

__all__ = ["INVARIANTS", "OF_PROFILES", "Invariant"]

Node = Mapping[str, Any]

UCUM: Final = "http://unitsofmeasure.org"
TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem/"


@dataclass(frozen=True, slots=True)
class Invariant:
    """
    One invariant of a type.

    Args:
        key: as the definitions have it, `per-1`.
        text: what it asks, in our words.
        holds: whether it holds for a node of the type.
        when: it can be broken only where one of these elements is there; empty for anywhere.
        severity: error, or warning where the definitions say so.
    """

    key: str
    text: str
    holds: Callable[[Node], bool]
    when: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR


# --- asking a node ---------------------------------------------------------------------------------------------------


def has(node: Node, *names: str) -> bool:
    """Whether any of the elements exists."""
    for name in names:  # noqa: SIM110  (a generator takes three times as long, and this is asked a hundred times)
        if name in node or f"_{name}" in node:
            return True
    return False


def chosen(node: Node, name: str) -> bool:
    """Whether a choice exists, of whatever type: `value` for valueString, valueQuantity, …"""
    size = len(name)
    return any(key.lstrip("_").startswith(name) and key.lstrip("_")[size : size + 1].isupper() for key in node)


def nodes(node: Any, name: str) -> list[Node]:
    """The objects of an element, whether or not it repeats."""
    found = node.get(name)
    return [item for item in (found if isinstance(found, list) else [found]) if isinstance(item, dict)]


def coded(node: Node, name: str, system: str, *codes: str) -> bool:
    """Whether a CodeableConcept (or any of several) has one of the codes of a system."""
    return any(
        coding.get("system") == system and coding.get("code") in codes
        for concept in nodes(node, name)
        for coding in nodes(concept, "coding")
    )


def number(node: Node, name: str) -> Decimal | None:
    """The value of a number, or None when there is none."""
    found = node.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float | Decimal):
        return None
    value = Decimal(str(found)) if isinstance(found, float) else Decimal(found)
    return value if value.is_finite() else None


def _span(text: Any) -> tuple[datetime, datetime] | None:
    """The earliest and the latest instant that a date or dateTime may mean, without a time zone where it has none."""
    if not isinstance(text, str):
        return None
    try:
        match len(text):
            case 4:
                first, last = date(int(text), 1, 1), date(int(text), 12, 31)
            case 7:
                first = date.fromisoformat(f"{text}-01")
                last = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
            case 10:
                first = last = date.fromisoformat(text)
            case _:
                exact = datetime.fromisoformat(text)
                return exact, exact
        # A day anywhere on Earth: it begins in UTC+14 and ends in UTC-12.
        return (
            datetime.combine(first, time.min, timezone(timedelta(hours=14))),
            datetime.combine(last, time.max, timezone(timedelta(hours=-12))),
        )
    except (ValueError, OverflowError):
        return None


# --- data types ------------------------------------------------------------------------------------------------------


def per_1(node: Node) -> bool:
    """If present, start SHALL have a lower value than end."""
    start, end = node.get("start"), node.get("end")
    first, last = _span(start), _span(end)
    if start == end or first is None or last is None:
        return True
    if len(str(start)) <= 10 and len(str(end)) <= 10:
        return first[0].date() <= last[1].date()  # both without a time: whatever the time zone, it is the same one
    try:
        return first[0] <= last[1]
    except TypeError:  # one of them lacks its time zone, which is reported as its form
        return True


def rng_2(node: Node) -> bool:
    """If present, low SHALL have a lower value than high."""
    low, high = node.get("low"), node.get("high")
    if not isinstance(low, dict) or not isinstance(high, dict):
        return True
    if (low.get("system"), low.get("code"), low.get("unit")) != (
        high.get("system"),
        high.get("code"),
        high.get("unit"),
    ):
        return True  # quantities of different units cannot be compared here
    first, last = number(low, "value"), number(high, "value")
    return first is None or last is None or first <= last


def rat_1(node: Node) -> bool:
    """Numerator and denominator SHALL both be present, or both absent with some extension present."""
    numerator, denominator = has(node, "numerator"), has(node, "denominator")
    return numerator == denominator and (numerator or has(node, "extension"))


def qty_3(node: Node) -> bool:
    """If a code for the unit is present, the system SHALL also be present."""
    return not has(node, "code") or has(node, "system")


def _ucum(node: Node) -> bool:
    return (has(node, "code") or not has(node, "value")) and (not has(node, "system") or node.get("system") == UCUM)


def age_1(node: Node) -> bool:
    """There SHALL be a code if there is a value; the system is UCUM; the value is positive."""
    value = number(node, "value")
    return _ucum(node) and (value is None or value > 0)


def cnt_3(node: Node) -> bool:
    """The code is "1" if there is a value; the system is UCUM; the value is whole."""
    value = number(node, "value")
    whole = value is None or value == value.to_integral_value()
    return _ucum(node) and (not has(node, "code") or node.get("code") == "1") and whole


def dis_1(node: Node) -> bool:
    """There SHALL be a code if there is a value; the system is UCUM."""
    return _ucum(node)


def drt_1(node: Node) -> bool:
    """A code implies a value, and that the system is UCUM."""
    return not has(node, "code") or (node.get("system") == UCUM and has(node, "value"))


def cpt_2(node: Node) -> bool:
    """A system is required if a value is provided."""
    return not has(node, "value") or has(node, "system")


def att_1(node: Node) -> bool:
    """If the Attachment has data, it SHALL have a contentType."""
    return not has(node, "data") or has(node, "contentType")


def tim_1(node: Node) -> bool:
    """If there's a duration, there needs to be duration units."""
    return not has(node, "duration") or has(node, "durationUnit")


def tim_2(node: Node) -> bool:
    """If there's a period, there needs to be period units."""
    return not has(node, "period") or has(node, "periodUnit")


def tim_4(node: Node) -> bool:
    """Duration SHALL be a non-negative value."""
    value = number(node, "duration")
    return value is None or value >= 0


def tim_5(node: Node) -> bool:
    """Period SHALL be a non-negative value."""
    value = number(node, "period")
    return value is None or value >= 0


def tim_6(node: Node) -> bool:
    """If there's a periodMax, there must be a period."""
    return not has(node, "periodMax") or has(node, "period")


def tim_7(node: Node) -> bool:
    """If there's a durationMax, there must be a duration."""
    return not has(node, "durationMax") or has(node, "duration")


def tim_8(node: Node) -> bool:
    """If there's a countMax, there must be a count."""
    return not has(node, "countMax") or has(node, "count")


def tim_9(node: Node) -> bool:
    """If there's an offset, there must be a when (and not C, CM, CD, CV)."""
    when = node.get("when")
    if not has(node, "offset"):
        return True
    return isinstance(when, list) and not any(code in ("C", "CM", "CD", "CV") for code in when)


def tim_10(node: Node) -> bool:
    """If there's a timeOfDay, there cannot be a when, or vice versa."""
    return not has(node, "timeOfDay") or not has(node, "when")


# --- resources -------------------------------------------------------------------------------------------------------

_ALLERGY: Final = f"{TERMINOLOGY}allergyintolerance-verification"
_CONDITION: Final = f"{TERMINOLOGY}condition-ver-status"
_CLINICAL: Final = f"{TERMINOLOGY}condition-clinical"


def ait_1(node: Node) -> bool:
    """AllergyIntolerance.clinicalStatus SHALL be present if verificationStatus is not entered-in-error."""
    return has(node, "clinicalStatus") or coded(node, "verificationStatus", _ALLERGY, "entered-in-error")


def ait_2(node: Node) -> bool:
    """AllergyIntolerance.clinicalStatus SHALL NOT be present if verificationStatus is entered-in-error."""
    return not (has(node, "clinicalStatus") and coded(node, "verificationStatus", _ALLERGY, "entered-in-error"))


def app_1(node: Node) -> bool:
    """Either the type or actor on the participant SHALL be specified."""
    return has(node, "type", "actor")


def app_2(node: Node) -> bool:
    """Either start and end are specified, or neither."""
    return has(node, "start") == has(node, "end")


def app_3(node: Node) -> bool:
    """Only proposed or cancelled appointments can be missing start/end dates."""
    return (has(node, "start") and has(node, "end")) or node.get("status") in ("proposed", "cancelled", "waitlist")


def app_4(node: Node) -> bool:
    """Cancelation reason is only used for appointments that have been cancelled, or no-show."""
    return not has(node, "cancelationReason") or node.get("status") in ("noshow", "cancelled")


def cmp_1(node: Node) -> bool:
    """A section must contain at least one of text, entries, or sub-sections."""
    return has(node, "text", "entry", "section")


def cmp_2(node: Node) -> bool:
    """A section can only have an emptyReason if it is empty."""
    return not (has(node, "emptyReason") and has(node, "entry"))


def con_1(node: Node) -> bool:
    """Stage SHALL have summary or assessment."""
    return has(node, "summary", "assessment")


def con_2(node: Node) -> bool:
    """Evidence SHALL have code or details."""
    return has(node, "code", "detail")


def con_3(node: Node) -> bool:
    """Condition.clinicalStatus SHALL be present in the problem list, unless the Condition is entered in error."""
    return (
        has(node, "clinicalStatus")
        or coded(node, "verificationStatus", _CONDITION, "entered-in-error")
        or not coded(node, "category", f"{TERMINOLOGY}condition-category", "problem-list-item")
    )


def con_4(node: Node) -> bool:
    """If condition is abated, then clinicalStatus must be either inactive, resolved, or remission."""
    return not chosen(node, "abatement") or coded(
        node, "clinicalStatus", _CLINICAL, "resolved", "remission", "inactive"
    )


def con_5(node: Node) -> bool:
    """Condition.clinicalStatus SHALL NOT be present if verificationStatus is entered-in-error."""
    return not (has(node, "clinicalStatus") and coded(node, "verificationStatus", _CONDITION, "entered-in-error"))


def cpl_3(node: Node) -> bool:
    """Provide a reference or detail, not both."""
    return not (has(node, "detail") and has(node, "reference"))


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


def fhs_1(node: Node) -> bool:
    """Can have age[x] or born[x], but not both."""
    return not (chosen(node, "age") and chosen(node, "born"))


def fhs_2(node: Node) -> bool:
    """Can only have estimatedAge if age[x] is present."""
    return not has(node, "estimatedAge") or chosen(node, "age")


def gol_1(node: Node) -> bool:
    """Goal.target.measure is required if Goal.target.detail is populated."""
    return not chosen(node, "detail") or has(node, "measure")


def imm_1(node: Node) -> bool:
    """One of documentType or reference SHALL be present."""
    return has(node, "documentType", "reference")


def inv_1(node: Node) -> bool:
    """A parameter must have one and only one of (value, resource, part)."""
    return chosen(node, "value") + has(node, "resource") + has(node, "part") == 1


def lst_1(node: Node) -> bool:
    """A list can only have an emptyReason if it is empty."""
    return not (has(node, "emptyReason") and has(node, "entry"))


def lst_2(node: Node) -> bool:
    """The deleted flag can only be used if the mode of the list is "changes"."""
    return node.get("mode") == "changes" or not any(has(entry, "deleted") for entry in nodes(node, "entry"))


def lst_3(node: Node) -> bool:
    """An entry date can only be used if the mode of the list is "working"."""
    return node.get("mode") == "working" or not any(has(entry, "date") for entry in nodes(node, "entry"))


def mad_1(node: Node) -> bool:
    """SHALL have at least one of dosage.dose or dosage.rate[x]."""
    return has(node, "dose") or chosen(node, "rate")


def mdd_1(node: Node) -> bool:
    """The medicine cannot be handed over before it is prepared."""
    return per_1({"start": node.get("whenPrepared"), "end": node.get("whenHandedOver")})


def obs_3(node: Node) -> bool:
    """Must have at least a low or a high or text."""
    return has(node, "low", "high", "text")


def obs_6(node: Node) -> bool:
    """DataAbsentReason SHALL only be present if Observation.value[x] is not present."""
    return not (has(node, "dataAbsentReason") and chosen(node, "value"))


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


def org_1(node: Node) -> bool:
    """The organization SHALL at least have a name or an identifier, and possibly more than one."""
    return has(node, "identifier", "name")


def org_2(node: Node) -> bool:
    """An address of an organization can never be of use 'home'."""
    return not any(address.get("use") == "home" for address in nodes(node, "address"))


def org_3(node: Node) -> bool:
    """The telecom of an organization can never be of use 'home'."""
    return not any(point.get("use") == "home" for point in nodes(node, "telecom"))


def pat_1(node: Node) -> bool:
    """SHALL at least contain a contact's details or a reference to an organization."""
    return has(node, "name", "telecom", "address", "organization")


def ppc_1(node: Node) -> bool:
    """Either a Policy or PolicyRule."""
    return has(node, "policy", "policyRule")


def prr_1(node: Node) -> bool:
    """The orderDetail SHALL only be present if code is present."""
    return not has(node, "orderDetail") or has(node, "code")


def qrs_1(node: Node) -> bool:
    """Nested item can't be beneath both item and answer."""
    return not (has(node, "answer") and has(node, "item"))


def ras_1(node: Node) -> bool:
    """Low and high must be percentages, if present."""
    ends = [end for span in nodes(node, "probabilityRange") for name in ("low", "high") for end in nodes(span, name)]
    return all(end.get("code") == "%" and end.get("system") == UCUM for end in ends)


def ras_2(node: Node) -> bool:
    """Must be <= 100."""
    value = number(node, "probabilityDecimal")
    return value is None or value <= 100


def rqg_1(node: Node) -> bool:
    """Must have resource or action but not both."""
    return has(node, "resource") != has(node, "action")


def sev_1(node: Node) -> bool:
    """Either a name or a query (NOT both)."""
    return not (has(node, "name") and has(node, "query"))


# --- profiles of UK Core ---------------------------------------------------------------------------------------------

R5: Final = "http://hl7.org/fhir/5.0/StructureDefinition/extension-"


def _extended(node: Node, url: str) -> bool:
    return any(extension.get("url") == url for extension in nodes(node, "extension"))


def ukcore_obs_vs_001(node: Node) -> bool:
    """The code.coding SHALL include a LOINC "magic code"."""
    codings = [coding for concept in nodes(node, "code") for coding in nodes(concept, "coding")]
    return any(coding.get("system") == "http://loinc.org" for coding in codings)


def ukcore_obs_lab_001(node: Node) -> bool:
    """Either value, dataAbsentReason or note SHOULD be populated."""
    return chosen(node, "value") or has(node, "dataAbsentReason", "note")


def ukcore_obs_grplab_001(node: Node) -> bool:
    """The value[x] SHOULD NOT be used within this profile."""
    return not chosen(node, "value")


def ukcore_diag_lab_001(node: Node) -> bool:
    """An issued time SHOULD be present if the report has a result."""
    shown = ("partial", "preliminary", "final", "amended", "corrected", "appended")
    return has(node, "issued") or node.get("status") not in shown


def ukcore_diag_lab_002(node: Node) -> bool:
    """If the R5 media link is used then DiagnosticReport.media.link reference SHALL be empty."""
    media = nodes(node, "media")
    linked = any(has(link, "reference") for item in media for link in nodes(item, "link"))
    return not linked or not any(_extended(item, f"{R5}DiagnosticReport.media.link") for item in media)


def ukcore_spec_001(node: Node) -> bool:
    """Only one of Specimen.collection.collector or its R5 extension can be populated at a time."""
    return not any(
        any(has(collector, "reference") for collector in nodes(collection, "collector"))
        and _extended(collection, f"{R5}Specimen.collection.collector")
        for collection in nodes(node, "collection")
    )


def ukcore_imm_001(node: Node) -> bool:
    """If the immunization was not given, statusReason SHALL be populated."""
    return node.get("status") != "not-done" or has(node, "statusReason")


# --- where each applies ----------------------------------------------------------------------------------------------


def _table() -> dict[str, tuple[Invariant, ...]]:
    found: dict[str, list[Invariant]] = {}

    def on(
        type_path: str, key: str, holds: Callable[[Node], bool], *when: str, severity: Severity = Severity.ERROR
    ) -> None:
        summary = " ".join((holds.__doc__ or "").split())
        found.setdefault(type_path, []).append(Invariant(key, summary, holds, when, severity))

    on("Period", "per-1", per_1, "end")
    on("Range", "rng-2", rng_2, "high")
    on("Ratio", "rat-1", rat_1)
    on("Quantity", "qty-3", qty_3, "code", "_code")
    on("Age", "age-1", age_1)
    on("Count", "cnt-3", cnt_3)
    on("Distance", "dis-1", dis_1)
    on("Duration", "drt-1", drt_1, "code", "_code")
    on("ContactPoint", "cpt-2", cpt_2, "value", "_value")
    on("Attachment", "att-1", att_1, "data", "_data")
    on("Timing.repeat", "tim-1", tim_1, "duration", "_duration")
    on("Timing.repeat", "tim-2", tim_2, "period", "_period")
    on("Timing.repeat", "tim-4", tim_4, "duration")
    on("Timing.repeat", "tim-5", tim_5, "period")
    on("Timing.repeat", "tim-6", tim_6, "periodMax", "_periodMax")
    on("Timing.repeat", "tim-7", tim_7, "durationMax", "_durationMax")
    on("Timing.repeat", "tim-8", tim_8, "countMax", "_countMax")
    on("Timing.repeat", "tim-9", tim_9, "offset", "_offset")
    on("Timing.repeat", "tim-10", tim_10, "timeOfDay", "_timeOfDay")
    on("AllergyIntolerance", "ait-1", ait_1)
    on("AllergyIntolerance", "ait-2", ait_2, "verificationStatus")
    on("Appointment.participant", "app-1", app_1)
    on("Appointment", "app-2", app_2)
    on("Appointment", "app-3", app_3)
    on("Appointment", "app-4", app_4, "cancelationReason")
    on("Composition.section", "cmp-1", cmp_1)
    on("Composition.section", "cmp-2", cmp_2, "emptyReason")
    on("Condition.stage", "con-1", con_1)
    on("Condition.evidence", "con-2", con_2)
    on("Condition", "con-3", con_3, "category", severity=Severity.WARNING)
    on("Condition", "con-4", con_4)
    on("Condition", "con-5", con_5, "verificationStatus")
    on("CarePlan.activity", "cpl-3", cpl_3, "detail")
    on("CareTeam.participant", "ctm-1", ctm_1, "onBehalfOf")
    on("FamilyMemberHistory", "fhs-1", fhs_1)
    on("FamilyMemberHistory", "fhs-2", fhs_2, "estimatedAge", "_estimatedAge")
    on("Goal.target", "gol-1", gol_1)
    on("Immunization.education", "imm-1", imm_1)
    on("Parameters.parameter", "inv-1", inv_1)
    on("List", "lst-1", lst_1, "emptyReason")
    on("List", "lst-2", lst_2, "entry")
    on("List", "lst-3", lst_3, "entry")
    on("MedicationAdministration.dosage", "mad-1", mad_1)
    on("MedicationDispense", "mdd-1", mdd_1, "whenHandedOver")
    on("RequestGroup.action", "rqg-1", rqg_1)
    on("AuditEvent.entity", "sev-1", sev_1, "query", "_query")
    on("Observation.referenceRange", "obs-3", obs_3)
    on("Observation", "obs-6", obs_6, "dataAbsentReason")
    on("Observation", "obs-7", obs_7, "component")
    on("Organization", "org-1", org_1)
    on("Organization", "org-2", org_2, "address")
    on("Organization", "org-3", org_3, "telecom")
    on("Patient.contact", "pat-1", pat_1)
    on("Consent", "ppc-1", ppc_1)
    on("ServiceRequest", "prr-1", prr_1, "orderDetail")
    on("QuestionnaireResponse.item", "qrs-1", qrs_1, "answer")
    on("RiskAssessment.prediction", "ras-1", ras_1, "probabilityRange")
    on("RiskAssessment.prediction", "ras-2", ras_2, "probabilityDecimal")
    on("UKCore-Observation-VitalSigns", "ukcore-obs-vs-001", ukcore_obs_vs_001)
    on("UKCore-Observation-Lab", "ukcore-obs-lab-001", ukcore_obs_lab_001, severity=Severity.WARNING)
    on("UKCore-Observation-Group-Lab", "ukcore-obs-grplab-001", ukcore_obs_grplab_001, severity=Severity.WARNING)
    on("UKCore-DiagnosticReport-Lab", "ukcore-diag-lab-001", ukcore_diag_lab_001, severity=Severity.WARNING)
    on("UKCore-DiagnosticReport", "ukcore-diag-lab-002", ukcore_diag_lab_002)
    on("UKCore-Specimen", "ukcore-spec-001", ukcore_spec_001)
    on("UKCore-Immunization", "ukcore-imm-001", ukcore_imm_001)
    return {type_path: tuple(invariants) for type_path, invariants in found.items()}


_ALL: Final = _table()
#: Type path → its own invariants; a type has those of its bases, too.
INVARIANTS: Final[Mapping[str, tuple[Invariant, ...]]] = MappingProxyType(
    {path: found for path, found in _ALL.items() if not path.startswith("UKCore-")}
)
#: Profile → its own invariants; a profile has those of the profiles it is derived from, too.
OF_PROFILES: Final[Mapping[str, tuple[Invariant, ...]]] = MappingProxyType(
    {path: found for path, found in _ALL.items() if path.startswith("UKCore-")}
)
