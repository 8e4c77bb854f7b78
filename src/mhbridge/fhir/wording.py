"""
Values in words: what a FHIR-shaped value says to a clinician in England, as plain text with line breaks.

Dates, names and addresses follow the NHS Common User Interface guidance; a code is its words or, failing that, the code
and its system. What cannot be put into better words is given as it is: nothing that is there may be left unsaid, and
nothing may be added that the sender did not say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final

from mhbridge.fhir.dates import date_words
from mhbridge.fhir.stated import STATED
from mhbridge.model import State, Unknown

__all__ = ["Wording", "name_words", "nhs_number_words", "reason_words"]

_TIME: Final = re.compile(r"(\d\d:\d\d):00(?:\.0+)?", re.ASCII)
# A code of FHIR's own, such as `final` or `on-hold`; anything else is somebody's abbreviation and stays as it is.
_CODE_WORDS: Final = re.compile(r"[a-z]{3,}|[a-z]{2,}(-[a-z]+)+")
# What is written as words are, which abbreviations are not.
_WORD: Final = re.compile(r"[A-Za-z][a-z]+([ -][a-z]+)*")

# FHIR R4, CodeSystem data-absent-reason.
_REASONS: Final[Mapping[str, str]] = {
    "unknown": "Not known",
    "asked-unknown": "Asked, but not known",
    "temp-unknown": "Not known at present",
    "not-asked": "Not asked",
    "asked-declined": "Asked, but declined to say",
    "masked": "Withheld",
    "not-applicable": "Not applicable",
    "unsupported": "The sender's system cannot record this",
    "as-text": "Recorded as text only",
    "error": "Recorded by the sender, but it could not be read; see the original message",
    "not-a-number": "Not a number",
    "negative-infinity": "Too low to be measured",
    "positive-infinity": "Too high to be measured",
    "not-performed": "Not performed",
    "not-permitted": "Not permitted",
}
# Signs are misread for one another, and for digits, on paper and on screens.
_COMPARATORS: Final[Mapping[str, str]] = {"<": "less than", "<=": "at most", ">": "more than", ">=": "at least"}
_NAME_USES: Final[Mapping[str, str]] = {
    "anonymous": "alias",
    "maiden": "name before marriage",
    "nickname": "nickname",
    "old": "former name",
    "temp": "temporary name",
}
_USES: Final[Mapping[str, str]] = {"old": "no longer in use", "temp": "temporary"}
_NHS_NUMBER: Final = ("nhs-number", "https://fhir.nhs.uk/Id/nhs-number")
_ODS: Final = re.compile(r"ods(-.*)?|https://fhir\.nhs\.uk/Id/ods-(organization|site)-code")
_OF_A_PERSON: Final = ("role", "grade", "specialty")
#: What is not said of a person who has a name.
_NAMED: Final = frozenset(("name", "identifiers"))
_POINTS: Final = frozenset(("phone", "fax", "email", "pager", "url", "sms", "other"))
_UNSAID: Final = frozenset(("id", "extension", "modifierExtension", "resourceType"))

#: UCUM, what something is counted for.
_EACH: Final[Mapping[str, str]] = {"min": "minute", "h": "hour", "d": "day", "wk": "week", "mo": "month"}


def reason_words(reason: str) -> str:
    """Why a value is not given, in words. Args: `reason`: a code of FHIR's data-absent-reason."""
    return _REASONS.get(reason) or f"Not given ({reason})"


def nhs_number_words(value: str) -> str:
    """An NHS number in groups of 3, 3 and 4 digits, as it is read aloud and compared."""
    digits = value.replace(" ", "").replace("-", "")
    if len(digits) != 10 or not (digits.isascii() and digits.isdigit()):
        return value
    return f"{digits[:3]} {digits[3:6]} {digits[6:]}"


def name_words(name: Mapping[str, Any]) -> str:
    """A HumanName as `SURNAME, Given (Title)`; its text where it has no parts."""
    family, given = _text(name.get("family")).upper(), _spaced(name.get("given"))
    prefix = _spaced(name["prefix"]) if "prefix" in name else ""
    suffix = _spaced(name["suffix"]) if "suffix" in name else ""
    words = f"{family}, {given}" if family and given else family or given
    if not words:
        words = _text(name.get("text")) or suffix
        suffix = ""
    if prefix:
        words = f"{words} ({prefix})" if words else prefix
    return f"{words}, {suffix}" if suffix else words


def _text(value: Any) -> str:
    return value.strip() if type(value) is str else ""


def _spaced(value: Any) -> str:
    if value is None:
        return ""
    if type(value) is list and len(value) == 1:
        return _text(value[0])
    return " ".join(filter(None, map(_text, value))) if isinstance(value, list | tuple) else _text(value)


def _each(value: Any) -> Iterable[Any]:
    if type(value) is list or type(value) is tuple:
        return value
    return () if value is None or isinstance(value, State) else (value,)


def _unit(unit: str) -> str:
    """A unit as people write it, where it came as a code of UCUM: `{units}/wk`, `/d`, `mm[Hg]`."""
    plain = unit.replace("mm[Hg]", "mmHg")
    if not plain.startswith(("{", "/")):
        return plain
    counted, slash, each = plain.replace("{", "").replace("}", "").rpartition("/")
    return f"{counted} a {_EACH[each]}".strip() if slash and each in _EACH else plain


def _size(octets: int) -> str:
    if octets < 1000:
        return f"{octets} bytes"
    return f"{octets / 1000:.0f} kB" if octets < 1_000_000 else f"{octets / 1_000_000:.1f} MB"


class Wording:
    """
    Says values in words.

    Args:
        titles: a code system's human title, for its name or URI; what it does not know it may return as it is, or `""`.
        local: whether a code system is the sender's own, so that its codes mean nothing elsewhere. Left out: a system
            is local when `titles` does not know it.
    """

    __slots__ = ("_local", "_said", "_titles")

    def __init__(self, titles: Callable[[str], str], local: Callable[[str], bool] | None = None) -> None:
        self._titles = titles
        self._local = local or (lambda system: titles(system) in ("", system))
        #: Codings that are stated, each list by its id → what is said of a concept of them.
        self._said: dict[int, str] = {}

    def say(self, type_: str, value: Any) -> str:
        """
        `value` in words; `""` when there is nothing to say (absent, deleted, empty).

        Args:
            type_: name of its type in the mapping language; `any` where it is one of several.
            value: may be of another shape, because it was kept as the text received; it is said all the same.
        """
        if isinstance(value, str):
            return self._string(type_, value) if type_ in _SHAPED else value
        if isinstance(value, dict):
            words = (_SAYS.get(type_) or _by_shape(value))(self, value)
            return words or (self.anything(value) if value else "")
        if isinstance(value, bool):
            return "Yes" if value else "No"
        if isinstance(value, Unknown):
            return reason_words(value.reason)
        if value is None or isinstance(value, State):
            return ""
        if isinstance(value, list | tuple):
            return "; ".join(filter(None, (self.say(type_, one) for one in value)))
        return self._number(value)

    def teller(self, type_: str) -> Callable[[Any], str]:
        """`say` of one type, with all decided that the type decides."""
        says, say = _SAYS.get(type_), self.say
        if says is not None:

            def tell(value: Any) -> str:
                return (says(self, value) if type(value) is dict else "") or say(type_, value)

            return tell
        if type_ in _SHAPED:
            return partial(say, type_)
        return lambda value: value if type(value) is str else say(type_, value)

    @staticmethod
    def keeps(type_: str) -> bool:
        """Whether a text of a type is said as it stands."""
        return type_ not in _SHAPED

    # -- primitives -----------------------------------------------------------------------------------------

    @staticmethod
    def _string(type_: str, value: str) -> str:
        if type_ in ("date", "dateTime", "instant", "any"):
            return date_words(value)
        if type_ == "nhs_number":
            return nhs_number_words(value)
        if type_ == "time":
            return _TIME.sub(r"\1", value)
        if type_ == "code" and _CODE_WORDS.fullmatch(value):
            return value.replace("-", " ").capitalize()
        if type_ == "base64Binary":
            return f"Attached content, {_size(len(value) * 3 // 4)}" if value else ""
        return value

    @staticmethod
    def _number(value: Any) -> str:
        if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) < 30:
            # Every digit as it was received: 1.10 is more exact than 1.1.
            return format(value, "f")
        return str(value)

    # -- codes ----------------------------------------------------------------------------------------------

    def _title(self, system: str) -> str:
        return self._titles(system) or system

    def _code(self, coding: Mapping[str, Any]) -> str:
        system = _text(coding.get("system"))
        words = f"code {coding['code']} in {self._title(system) if system else 'a code system that was not named'}"
        version = _text(coding.get("version"))
        return f"{words}, version {version}" if version else words

    def concept(self, concept: Mapping[str, Any]) -> str:
        """A CodeableConcept: its text and the displays that say something else; a sender's own code with its system."""
        given, text = concept.get("coding"), _text(concept.get("text"))
        if given is None:
            return text
        if text or id(given) not in STATED:
            return self._concept(given, text)
        words = self._said.get(id(given))
        if words is None:
            words = self._said[id(given)] = self._concept(given, "")
        return words

    def _concept(self, given: Any, text: str) -> str:
        if not text and type(given) is list and (words := self._only_words(given)):
            return words
        codings = [c for c in _each(given) if isinstance(c, dict)]
        said = {text.casefold(): text} if text else {}
        for coding in codings:
            if display := _text(coding.get("display")):
                said.setdefault(display.casefold(), display)
        for coding in codings:
            # "2Z" in place of words is a code that nobody had words for, and says nothing without its system. A word
            # (Added, On-hold, Smoking) stays one, though the code be the same.
            code = _text(coding.get("code")).casefold()
            if code in said and not _WORD.fullmatch(said[code]):
                del said[code]
        if not said:
            return "; ".join([self._code(c) for c in codings if c.get("code")])
        first, *others = said.values()
        local = self._local
        for coding in codings:
            if not local(_text(coding.get("system"))):
                break
        else:
            others += [self._code(c) for c in codings if c.get("code")]
        return f"{first} ({'; '.join(others)})" if others else first

    def _only_words(self, codings: list[Any]) -> str:
        """The only display there is, where it is no code and one of the systems has a meaning elsewhere; or empty."""
        words = ""
        for coding in codings:
            if type(coding) is not dict or (words and "display" in coding):
                return ""
            words = words or _text(coding.get("display"))
        folded, local = words.casefold(), True
        for coding in codings:
            if _text(coding.get("code")).casefold() == folded:
                return ""
            local = local and self._local(_text(coding.get("system")))
        return "" if local else words

    def coding(self, coding: Mapping[str, Any]) -> str:
        """A Coding."""
        return self.concept({"coding": [coding]})

    # -- numbers with units, stretches ----------------------------------------------------------------------

    def quantity(self, quantity: Mapping[str, Any]) -> str:
        """A Quantity: every digit as received, its unit, a comparator in words."""
        value = quantity.get("value")
        number = value.strip() if isinstance(value, str) else self.say("decimal", value)
        unit = _unit(_text(quantity.get("unit")) or _text(quantity.get("code")))
        if not number:
            return unit
        comparator = _text(quantity.get("comparator"))
        if comparator:
            number = f"{_COMPARATORS.get(comparator, comparator)} {number}"
        # UCUM writes "no unit" as 1.
        return number + unit if unit == "%" else number if unit in ("", "1") else f"{number} {unit}"

    def money(self, money: Mapping[str, Any]) -> str:
        """An amount of money."""
        return " ".join(filter(None, (self.say("decimal", money.get("value")), _text(money.get("currency")))))

    def range_(self, stretch: Mapping[str, Any]) -> str:
        """A Range."""
        low, high = self.say("Quantity", stretch.get("low")), self.say("Quantity", stretch.get("high"))
        if low and high:
            return f"{low} to {high}"
        return f"at least {low}" if low else f"at most {high}" if high else ""

    def ratio(self, ratio: Mapping[str, Any]) -> str:
        """A Ratio."""
        above, below = self.say("Quantity", ratio.get("numerator")), self.say("Quantity", ratio.get("denominator"))
        if not (above and below):
            return above or (f"per {below}" if below else "")
        # A titre is two bare numbers: 1 : 128.
        return f"{above} : {below}" if re.fullmatch(r"[\d.]+", above + below) else f"{above} per {below}"

    def period(self, period: Mapping[str, Any]) -> str:
        """A Period."""
        start, end = self.say("dateTime", period.get("start")), self.say("dateTime", period.get("end"))
        if start and end:
            return f"{start} to {end}"
        return f"from {start}" if start else f"until {end}" if end else ""

    def timing(self, timing: Mapping[str, Any]) -> str:
        """A Timing: its code."""
        return self.say("CodeableConcept", timing.get("code"))

    # -- people, places, how to reach them ------------------------------------------------------------------

    @staticmethod
    def _noted(words: str, *notes: str) -> str:
        said = [note for note in notes if note]
        return f"{words} ({', '.join(said)})" if words and said else words

    def human_name(self, name: Mapping[str, Any]) -> str:
        """A HumanName, with what kind of name it is unless it is the person's own."""
        words, kind = name_words(name), _NAME_USES.get(_text(name["use"]), "") if "use" in name else ""
        if not kind and "period" not in name:
            return words
        return self._noted(words, kind, self.say("Period", name.get("period")))

    def address(self, address: Mapping[str, Any]) -> str:
        """An Address on one line."""
        lines = [_text(line) for line in _each(address.get("line"))]
        parts = ("city", "district", "state", "postalCode", "country")
        words = ", ".join(filter(None, (*lines, *(_text(address.get(part)) for part in parts))))
        use, kind = _text(address.get("use")), _text(address.get("type"))
        return self._noted(
            words or ", ".join(filter(None, map(str.strip, _text(address.get("text")).splitlines()))),
            "" if use == "home" else _USES.get(use, use),
            "for post" if kind == "postal" else "",
            self.say("Period", address["period"]) if "period" in address else "",
        )

    def contact_point(self, point: Mapping[str, Any]) -> str:
        """A ContactPoint: number or address, and what it is for."""
        system, use = _text(point.get("system")), _text(point.get("use"))
        kind = "" if system in ("phone", "email", "url") else system
        period = self.say("Period", point["period"]) if "period" in point else ""
        return self._noted(_text(point.get("value")), kind, _USES.get(use, use), period)

    def identifier(self, identifier: Mapping[str, Any]) -> str:
        """An Identifier, and who gave it out."""
        system, value = _text(identifier.get("system")), _text(identifier.get("value"))
        if system in _NHS_NUMBER:
            return self._noted(nhs_number_words(value), "NHS number")
        assigner = identifier.get("assigner")
        issuer = _text(assigner.get("display")) if isinstance(assigner, dict) else _text(assigner)
        kind = self.say("CodeableConcept", identifier.get("type"))
        use = _USES.get(_text(identifier.get("use")), "")
        return self._noted(value, kind, issuer or (self._title(system) if system else ""), use)

    def _telecom(self, record: Mapping[str, Any]) -> list[str]:
        return [self.say("ContactPoint", point) for point in _each(record.get("telecom"))]

    def _identifiers(self, record: Mapping[str, Any]) -> str:
        found = [self.say("Identifier", one) for one in _each(record.get("identifiers"))]
        return "; ".join(filter(None, found))

    def person(self, person: Mapping[str, Any]) -> str:
        """A person: name, what they are, where they work, how to reach them; an identifier when there is no name."""
        names = "; ".join(filter(None, [self.say("HumanName", name) for name in _each(person.get("name"))]))
        if names and _NAMED.issuperset(person):
            return names
        said = [names or self._identifiers(person)]
        said += [self.say("CodeableConcept", person[part]) for part in _OF_A_PERSON if part in person]
        if "organisation" in person:
            said.append(self.say("organisation", person["organisation"]))
        said += self._telecom(person)
        if "address" in person:
            said.append(self.say("Address", person["address"]))
        return ", ".join(filter(None, said))

    def organisation(self, organisation: Mapping[str, Any]) -> str:
        """An organisation: name, ODS code, how to reach it."""
        codes, others = [], []
        for one in _each(organisation.get("identifiers")):
            system = _text(one.get("system")) if isinstance(one, dict) else ""
            if not system:
                others.append(self.say("Identifier", one))
            elif _ODS.fullmatch(system):
                codes.append(f"ODS code {_text(one.get('value'))}")
            else:
                others.append(f"{self._title(system)} {_text(one.get('value'))}")
        name = _text(organisation.get("name"))
        ids = "; ".join(filter(None, codes or others))
        words = f"{name} ({ids})" if name and ids else name or ids
        return ", ".join(
            filter(None, (words, *self._telecom(organisation), self.say("Address", organisation.get("address"))))
        )

    def place(self, place: Mapping[str, Any]) -> str:
        """A place: name, ward, room, bed and the site it belongs to."""
        parts = [_text(place.get("name"))]
        for part in ("ward", "room", "bed"):
            words = self.say("string", place.get(part))
            # "Maple Ward" is its name already; "3" is not.
            parts.append(words if not words or part in words.casefold() else f"{part} {words}")
        parts.append(self.say("organisation", place.get("site")))
        words = ", ".join(dict.fromkeys(filter(None, parts)))
        return words or self._identifiers(place)

    def reference(self, reference: Mapping[str, Any]) -> str:
        """A Reference: its display or identifier."""
        return _text(reference.get("display")) or self.say("Identifier", reference.get("identifier"))

    # -- documents and the rest -----------------------------------------------------------------------------

    def attachment(self, attachment: Mapping[str, Any]) -> str:
        """An Attachment: that there is one, of what kind and size."""
        octets = attachment.get("size")
        data = attachment.get("data")
        if not isinstance(octets, int) and isinstance(data, str):
            octets = len(data.rstrip("=")) * 3 // 4
        facts = [_text(attachment.get("contentType")), _size(octets) if isinstance(octets, int) else ""]
        title = _text(attachment.get("title"))
        if not title:
            facts = [", ".join(filter(None, facts))]
            return f"Attached document: {facts[0]}" if facts[0] else "Attached document"
        return self._noted(f"Attached document: {title}", *facts)

    def annotation(self, note: Mapping[str, Any]) -> str:
        """An Annotation, with who wrote it and when."""
        author = _text(note.get("authorString")) or self.say("Reference", note.get("authorReference"))
        return self._noted(_text(note.get("text")), author, self.say("dateTime", note.get("time")))

    def textual(self, value: Mapping[str, Any]) -> str:
        """What has its own words: a Dosage."""
        return _text(value.get("text"))

    def anything(self, value: Mapping[str, Any]) -> str:
        """What has a shape of its own: every part under its name, so that nothing is left unsaid."""
        parts = ((key, self.say("any", part)) for key, part in value.items() if key not in _UNSAID and key[:1] != "_")
        return "; ".join(f"{key.replace('_', ' ')}: {words}" for key, words in parts if words)


#: Types of texts that are said in other words than their own.
_SHAPED: Final = frozenset(("date", "dateTime", "instant", "any", "nhs_number", "time", "code", "base64Binary"))

_Says = Callable[[Wording, Mapping[str, Any]], str]

_SAYS: Final[Mapping[str, _Says]] = {
    "Address": Wording.address,
    "Age": Wording.quantity,
    "Annotation": Wording.annotation,
    "Attachment": Wording.attachment,
    "CodeableConcept": Wording.concept,
    "Coding": Wording.coding,
    "ContactPoint": Wording.contact_point,
    "Count": Wording.quantity,
    "Distance": Wording.quantity,
    "Dosage": Wording.textual,
    "Duration": Wording.quantity,
    "HumanName": Wording.human_name,
    "Identifier": Wording.identifier,
    "Money": Wording.money,
    "Period": Wording.period,
    "Quantity": Wording.quantity,
    "Range": Wording.range_,
    "Ratio": Wording.ratio,
    "Reference": Wording.reference,
    "Timing": Wording.timing,
    "organisation": Wording.organisation,
    "person": Wording.person,
    "place": Wording.place,
}


def _by_shape(value: Mapping[str, Any]) -> _Says:
    """For one of several types, and for a shape that is not of its type: told by the keys."""
    keys = value.keys()
    if "coding" in keys:
        return Wording.concept
    if "low" in keys or "high" in keys:
        return Wording.range_
    if "numerator" in keys:
        return Wording.ratio
    if keys <= {"start", "end"}:
        return Wording.period
    if "contentType" in keys:
        return Wording.attachment
    if "family" in keys or "given" in keys:
        return Wording.human_name
    if "line" in keys or "postalCode" in keys:
        return Wording.address
    if "value" in keys:
        if not isinstance(value["value"], str) or "unit" in keys or "comparator" in keys:
            return Wording.quantity
        return Wording.contact_point if value.get("system") in _POINTS else Wording.identifier
    if "code" in keys and keys <= {"system", "code", "display", "version"}:
        return Wording.coding
    return Wording.textual if keys == {"text"} else Wording.anything
