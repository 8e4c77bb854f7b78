"""
Runs a build: items in, one FHIR Bundle out. The typed door for users of the library is `Translation.as_model`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mhbridge.fhir import narrative
from mhbridge.fhir.bundle import Entry, document_bundle, dumps, plain_bundle, transaction_bundle
from mhbridge.fhir.stated import stated
from mhbridge.mapping.assembly import Assembly, Built, Made
from mhbridge.mapping.checker.sections import Section
from mhbridge.mapping.run import Run
from mhbridge.mapping.written import Written
from mhbridge.model import MASKED, Issue, State
from mhbridge.model.frozen import frozen

__all__ = ["ReadyBuild", "Translation", "seed_of"]

#: FHIR R4 list-empty-reason: there is something, and it may not be shown here.
_WITHHELD: Final[Mapping[str, Any]] = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/list-empty-reason",
            "code": "withheld",
            "display": "Information Withheld",
        }
    ]
}


#: Under a heading whose entries are there because of what stands under others.
_NOTHING: Final = "Nothing was recorded under this heading."


@frozen(frozen=True, slots=True)
class Translation:
    """
    One message translated for one target.

    Args:
        resource: the Bundle, as plain dicts; decimals are `Decimal`, so that their digits stay. Documents share
            the parts that builds state (`mhbridge.fhir.stated`): whoever wants to change one changes a copy.
        identifier: `urn:uuid:…` of this version of the document.
        issues: everything there is to say about it; no values.
        not_written: items, or fields of them, that are present and that this target does not write.
    """

    mapping: str
    document: str
    target: str
    kind: str
    resource: Mapping[str, Any]
    identifier: str
    issues: tuple[Issue, ...] = ()
    not_written: tuple[str, ...] = ()

    def json(self, *, pretty: bool = False) -> bytes:
        """The Bundle as JSON, every decimal with the digits it came with."""
        return dumps(self.resource, pretty=pretty)

    def as_model(self) -> Any:
        """The Bundle as a typed `fhir.resources` model (R4B, which does not differ from R4 for what is built here)."""
        from mhbridge.fhir.models import as_model

        return as_model(self.resource)


@dataclass(frozen=True, slots=True)
class Heading:
    """
    One of the sections, made ready.

    Args:
        tell: items → its narrative.
        code: what it is called in codes.
        without: what stands there when nothing came; empty: it is left out.
    """

    section: Section
    tell: narrative.Narrative
    code: Mapping[str, Any]
    without: Mapping[str, Any]


def always_said(section: Section) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The code of a section, and what stands there when nothing came; both are `stated`."""
    # A heading that no code system has is known by its words alone.
    coded = {"coding": list(section.codings)} if section.codings else {}
    code = stated({**coded, "text": section.title})
    without = {}
    if section.empty is not None:
        reason, words = section.empty
        without = {"text": _narrative(narrative.paragraph(words)), "emptyReason": reason}
    return code, stated(without)


def _narrative(inner: str) -> dict[str, str]:
    return {"status": "generated", "div": narrative.div(inner)}


@dataclass(frozen=True, slots=True)
class ReadyBuild:
    """
    A build made ready to run: the compiler's functions and what they share.

    Args:
        uris: name of a code system → its URI in this target.
        written: records of which it does not write everything.
    """

    target: str
    kind: str
    made: Mapping[str, Made]
    sections: tuple[Heading, ...]
    identifier: Callable[..., Any] | None
    timestamp: Callable[..., Any] | None
    uris: Mapping[str, str]
    written: Written

    def run(
        self,
        items: Mapping[str, Any],
        run: Run,
        seed: tuple[str, ...],
        witness: Callable[[list[Built]], list[Built]] | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> tuple[Mapping[str, Any], str]:
        """
        Build the Bundle.

        Args:
            witness: makes further resources about those that were built.
            notes: item → what the narrative says behind its value.

        Returns:
            The Bundle, and the identifier (`urn:uuid:…`) of this version.
        """
        assembly = Assembly(self.made, items, run, seed)
        built = assembly.build()
        if self.kind == "document":
            self._write_sections(built, assembly, items, notes or {})
        if witness is not None:
            built = built + witness(built)
        identifier = self._value(self.identifier, items, assembly, run)
        timestamp = self._value(self.timestamp, items, assembly, run)
        version = f"urn:uuid:{assembly.identities.of(run.facts.control_id, 'version')}"
        if self.kind == "transaction":
            entries = [Entry(b.url, b.resource, _upsert(b, run)) for b in built]
            return transaction_bundle(entries, timestamp=timestamp or "", identity=_bare(version)), version
        entries = [Entry(b.url, b.resource) for b in built]
        if identifier is None:
            identifier = {"system": "urn:ietf:rfc:3986", "value": version}
        if identifier.get("value", "").startswith("urn:uuid:"):
            version = identifier["value"]
        if self.kind == "document":
            bundle = document_bundle(entries, identifier=identifier, timestamp=timestamp or "", identity=_bare(version))
        else:
            bundle = plain_bundle(
                self.kind, entries, identifier=identifier, timestamp=timestamp or "", identity=_bare(version)
            )
        return bundle, version

    @staticmethod
    def _value(make: Callable[..., Any] | None, items: Mapping[str, Any], assembly: Assembly, run: Run) -> Any:
        if make is None:
            return None
        value = make(items, assembly, run, None, 0)
        return None if isinstance(value, State) else value

    def _write_sections(
        self, built: list[Built], assembly: Assembly, items: Mapping[str, Any], notes: Mapping[str, str]
    ) -> None:
        """The Composition's sections: generated narrative that stands alone, and the entries that exist (§6.4)."""
        composition = next((b.resource for b in built if b.resource["resourceType"] == "Composition"), None)
        if composition is None:
            return
        written: list[dict[str, Any]] = []
        for heading in self.sections:
            section, without = heading.section, heading.without
            inner = heading.tell(items, notes)
            entries = [reference for name in section.entries for reference in references(assembly, name)]
            if not inner and not entries and not without:
                continue
            one: dict[str, Any] = {"title": section.title, "code": heading.code}
            if inner:
                one["text"] = _narrative(inner)
            else:
                one["text"] = without["text"] if without else _narrative(narrative.paragraph(_NOTHING))
            if entries:
                one["entry"] = entries
            elif without and not any(_present(items.get(field.name)) for field in section.fields):
                masked = any(items.get(field.name) == MASKED for field in section.fields)
                one["emptyReason"] = _WITHHELD if masked else without["emptyReason"]
            written.append(one)
        if written:
            composition["section"] = written


def _bare(url: str) -> str:
    """A `urn:uuid:` as a resource id."""
    return url.removeprefix("urn:uuid:")


def _upsert(built: Built, run: Run) -> tuple[str, str] | None:
    """(system URI, value) of the identifier that a resource is updated by."""
    if built.upsert is None or "value" not in built.upsert:
        return None
    name = built.upsert.get("system", "")
    return run.uris.get(name, name), built.upsert["value"]


def _present(value: Any) -> bool:
    return value is not None and not isinstance(value, State)


def references(assembly: Assembly, name: str) -> list[dict[str, str]]:
    """References to all that a resource name gave, once it is built."""
    one = assembly.one(name)
    if not isinstance(one, State):
        return [one]
    every = assembly.all(name)
    return [] if isinstance(every, State) else list(every)


def seed_of(supplier: str, document: str, identity: tuple[str, ...], items: Mapping[str, Any]) -> tuple[str, ...]:
    """
    What names a document: supplier, type, patient, and the values of its identity items.

    The patient is always among them: two patients whom a sender gives one stay number (spreadsheets do) stay two.
    """
    patient = items.get("patient_key")
    if isinstance(patient, list):
        patient = patient[0] if patient else None
    return supplier, document, identity_text(patient), *(identity_text(items.get(name)) for name in identity)


def identity_text(value: Any) -> str:
    """An identity item as text: `system|value` of an Identifier, the text itself of anything simple."""
    if isinstance(value, State) or value is None:
        return ""
    if isinstance(value, dict):
        return f"{value.get('system', '')}|{value['value']}" if value.get("value") else ""
    return str(value)
