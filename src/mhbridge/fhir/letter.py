"""
A FHIR document as a person reads it: a page that stands alone, or text for a terminal.

Made from the document Bundle only, so that it shows what a receiver got and not what we meant to send. The narratives
are what is shown, sanitised again, since the bundle may be anybody's. This module must never fetch anything, and never
show a coded entry in place of a narrative.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mhbridge.fhir.dates import date_words
from mhbridge.fhir.plaintext import plain, wrapped
from mhbridge.fhir.wording import Wording, nhs_number_words
from mhbridge.fhir.xhtml import escape, flow, paragraph, sanitise, visible

__all__ = ["letter", "letter_text"]

_NHS_NUMBER: Final = "https://fhir.nhs.uk/Id/nhs-number"
_ODS: Final = "https://fhir.nhs.uk/Id/ods-"
_NOT_STATED: Final = "not stated"
#: FHIR R4, list-empty-reason → what the reader is told at the top, where it can be acted on. `nilknown` is something
#: said, and not something missing, as is a reason that nobody here knows.
_UNSAID: Final[Mapping[str, str]] = {
    "unavailable": "Not recorded by the sender, which does not mean that there is nothing",
    "notasked": "Not asked by the sender",
    "notstarted": "Not yet recorded by the sender",
    "withheld": "Withheld",
}
#: A document has two levels of headings; what nests deeper is shown all the same, as if it were the last of these.
_LEVELS: Final = 4

#: Which of several names is put into the banner.
_RANK: Final[Mapping[str, int]] = {"official": 0, "usual": 1}

# FHIR R4, composition-status. `final` is what a reader expects and needs no words.
_STATUS: Final[Mapping[str, str]] = {
    "entered-in-error": "Withdrawn by its sender: this document was sent in error. Do not act on it.",
    "preliminary": "Preliminary: this document is not finished.",
    "amended": "Amended: this document was changed after it was finished.",
}

_STYLE: Final = """
body{font:16px/1.45 Arial,Helvetica,sans-serif;color:#212b32;max-width:50em;margin:0 auto;padding:1em}
header{border:2px solid #005eb8;padding:.4em .8em;display:flex;flex-wrap:wrap;gap:.2em 2em}
header b{font-weight:400;color:#4c6272}header .name{font-weight:700;font-size:1.15em}
h1{font-size:1.5em;margin:.8em 0 .2em}h2{font-size:1.15em;border-bottom:1px solid #005eb8;margin:1.2em 0 .3em}
h3,h4{font-size:1em;margin:.8em 0 .2em}p,ul{margin:.3em 0}.about{color:#4c6272}
.notice{border-left:.4em solid #d5281b;padding:.3em .8em;font-weight:700}
.unsaid{border-left:.4em solid #ffb81c;padding:.3em .8em}
table{border-collapse:collapse;margin:.3em 0}th,td{border:1px solid #aeb7bd;padding:.2em .5em;text-align:left;
vertical-align:top}th{background:#e8edee}td ul{margin:0;padding-left:1.1em}pre{white-space:pre-wrap}
@media print{body{padding:0;font-size:11pt;max-width:none}h2,h3{break-after:avoid}tr,li{break-inside:avoid}
thead{display:table-header-group}@page{margin:15mm}}
"""


@dataclass(frozen=True, slots=True)
class _Letter:
    """What a letter consists of, before it is laid out: plain text, and XHTML for the sections."""

    title: str
    notices: Sequence[str]
    patient: Sequence[tuple[str, str]]
    about: Sequence[tuple[str, str]]
    unsaid: Sequence[tuple[str, str]]
    sections: Sequence[tuple[int, str, str]]
    attached: Sequence[str]
    elsewhere: Sequence[str]


def letter(bundle: Mapping[str, Any]) -> str:
    """
    The document as an HTML page that stands alone, to be read or printed.

    Raises:
        ValueError: it is not a FHIR document.
    """
    read = _read(bundle)
    (_, name), *banner = read.patient
    body = [
        f'<header><span class="name">{flow(name) if name != _NOT_STATED else "Name not stated"}</span>',
        *(f"<span><b>{escape(label)}</b> {flow(value)}</span>" for label, value in banner),
        f"</header><h1>{flow(read.title)}</h1>",
        *(f'<p class="notice">{flow(notice)}</p>' for notice in read.notices),
        *(f'<p class="about">{escape(label)}: {flow(value)}</p>' for label, value in read.about),
        *(f'<p class="unsaid"><b>{escape(label)}:</b> {flow(value)}</p>' for label, value in read.unsaid),
    ]
    for level, title, xhtml in read.sections:
        body.append(f"<section><h{level}>{flow(title)}</h{level}>{xhtml}</section>")
    for title, files in _files(read):
        items = "".join(f"<li>{flow(item)}</li>" for item in files)
        body.append(f"<section><h2>{title}</h2><ul>{items}</ul></section>")
    return (
        '<!doctype html>\n<html lang="en-GB"><head><meta charset="utf-8"/>'
        # A page opened from a disc may load nothing and run nothing, whatever a narrative says.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:"/><meta name="viewport" content="width=device-width"/>'
        f"<title>{escape(read.title)}</title><style>{_STYLE}</style></head>\n<body>{''.join(body)}</body></html>\n"
    )


def letter_text(bundle: Mapping[str, Any], width: int = 100) -> str:
    """
    The document as text for a terminal.

    Args:
        bundle: a FHIR document Bundle.
        width: where lines are broken.

    Raises:
        ValueError: it is not a FHIR document.
    """
    read = _read(bundle)
    out = [*wrapped(visible(read.title), width), "=" * min(width, len(read.title)), ""]
    for notice in read.notices:
        out += ["!! " + line for line in wrapped(visible(notice), width - 3)]
    for label, value in (*read.patient, *read.about, *read.unsaid):
        first, *rest = wrapped(visible(f"{label}: {value}"), width)
        out += [first, *("  " + line for line in rest)]
    for level, title, xhtml in read.sections:
        lines = wrapped(visible(title), width)
        out += ["", *lines]
        if level == 2:
            out.append("-" * min(width, max(map(len, lines))))
        if text := plain(xhtml, width):
            out.append(text)
    for title, files in _files(read):
        out += ["", title, "-" * len(title), *(f"- {visible(item)}" for item in files)]
    return "\n".join(out) + "\n"


# --- reading the bundle --------------------------------------------------------------------------------------


def _read(bundle: Mapping[str, Any]) -> _Letter:
    entries = [e for e in _dicts(bundle.get("entry")) if isinstance(e.get("resource"), dict)]
    composition = entries[0]["resource"] if entries else {}
    if bundle.get("resourceType") != "Bundle" or composition.get("resourceType") != "Composition":
        raise ValueError("not a FHIR document: a Bundle whose first entry is a Composition")
    found = _Resources(entries)
    # A bundle does not say what a code system is called, nor whose it is: its displays and texts have to do.
    words = Wording(lambda system: system, local=lambda _: False)
    authors = [text for one in _dicts(composition.get("author")) if (text := found.who(one, words))]
    keeper = found.who(composition.get("custodian"), words)
    about = [
        ("Written", date_words(_string(composition, "date")) or _NOT_STATED),
        ("By", "; ".join(authors) or _NOT_STATED),
        ("Kept by", keeper),
    ]
    return _Letter(
        title=_string(composition, "title") or words.say("CodeableConcept", composition.get("type")) or "Document",
        notices=list(_notices(composition)),
        patient=_patient(found.get(composition.get("subject")), words),
        about=[(label, value) for label, value in about if value],
        unsaid=list(_unsaid(composition, words)),
        sections=list(_sections(composition, words, 2)),
        attached=list(_attached(entries, words)),
        elsewhere=list(_elsewhere(entries)),
    )


def _string(resource: Mapping[str, Any], key: str) -> str:
    value = resource.get(key)
    return value.strip() if isinstance(value, str) else ""


def _dicts(value: Any) -> list[dict[str, Any]]:
    many = value if isinstance(value, list) else [value]
    return [one for one in many if isinstance(one, dict)]


class _Resources:
    """The resources of a bundle, found by reference."""

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self._by_reference: dict[str, dict[str, Any]] = {}
        for entry in entries:
            resource = entry["resource"]
            for name in (entry.get("fullUrl"), f"{resource.get('resourceType')}/{resource.get('id')}"):
                if isinstance(name, str):
                    self._by_reference.setdefault(name, resource)

    def get(self, reference: Any) -> dict[str, Any]:
        """What a Reference refers to, or nothing."""
        name = _string(reference, "reference") if isinstance(reference, dict) else ""
        return self._by_reference.get(name, {})

    def who(self, reference: Any, words: Wording) -> str:
        """A person or an organisation in words; the reference's own display when it is not in the bundle."""
        found = self.get(reference)
        said = ""
        match found.get("resourceType"):
            case "PractitionerRole":
                person = self.get(found.get("practitioner"))
                role = _dicts(found.get("code"))
                organisation = self._organisation(self.get(found.get("organization")))
                said = words.say("person", self._person(person) | {"role": role[:1], "organisation": organisation})
            case "Practitioner" | "RelatedPerson" | "Patient":
                said = words.say("person", self._person(found))
            case "Organization":
                said = words.say("organisation", self._organisation(found))
            case "Device":
                said = "; ".join(_string(name, "name") for name in _dicts(found.get("deviceName")))
        return said or (words.reference(reference) if isinstance(reference, dict) else "")

    @staticmethod
    def _person(resource: Mapping[str, Any]) -> dict[str, Any]:
        return {"name": _dicts(resource.get("name")), "identifiers": _dicts(resource.get("identifier"))}

    @staticmethod
    def _organisation(resource: Mapping[str, Any]) -> dict[str, Any]:
        name, identifiers = _string(resource, "name"), _dicts(resource.get("identifier"))
        if name:
            # Beside a name, the national code is of use to a reader; the sender's own is not.
            identifiers = [one for one in identifiers if _string(one, "system").startswith(_ODS)]
        return {"name": name, "identifiers": identifiers, "telecom": _dicts(resource.get("telecom"))}


def _patient(patient: Mapping[str, Any], words: Wording) -> list[tuple[str, str]]:
    """The banner: who this is about, always with name, birth date and NHS number, be it that one is not stated."""
    # The official name is the one that other systems know the patient by.
    names = sorted(_dicts(patient.get("name")), key=lambda name: _RANK.get(_string(name, "use"), len(_RANK)))
    numbers = [_string(one, "value") for one in _dicts(patient.get("identifier")) if one.get("system") == _NHS_NUMBER]
    died = patient.get("deceasedDateTime") or patient.get("deceasedBoolean")
    banner = [
        ("Name", words.say("HumanName", names[0]) if names else ""),
        ("Born", date_words(_string(patient, "birthDate"))),
        ("Gender", words.say("code", patient.get("gender"))),
        ("NHS number", nhs_number_words(numbers[0]) if numbers else ""),
        ("Died", words.say("dateTime", died) if died else ""),
    ]
    wanted = ("Name", "Born", "NHS number")
    return [(label, value or _NOT_STATED) for label, value in banner if value or label in wanted]


def _notices(composition: Mapping[str, Any]) -> Iterator[str]:
    """What a reader must know before anything else."""
    if notice := _STATUS.get(_string(composition, "status")):
        yield notice
    if _string(composition, "confidentiality") in ("R", "V"):
        yield "Restricted: not to be passed on beyond those it was sent to."
    if any(_string(one, "code") == "replaces" for one in _dicts(composition.get("relatesTo"))):
        yield "This version replaces an earlier one."


def _unsaid(composition: Mapping[str, Any], words: Wording) -> Iterator[tuple[str, str]]:
    """Why, and the titles of the headings under which nothing is said: a reader sees at once what to ask for."""
    titles: dict[str, list[str]] = {}
    for title, reason in _empty(composition, words):
        titles.setdefault(reason, []).append(title)
    for reason, label in _UNSAID.items():
        if reason in titles:
            yield label, "; ".join(titles[reason])


def _empty(holder: Mapping[str, Any], words: Wording) -> Iterator[tuple[str, str]]:
    for section in _dicts(holder.get("section")):
        reason = section.get("emptyReason")
        codes = _dicts(reason.get("coding")) if isinstance(reason, dict) else []
        for code in codes[:1]:
            yield _title(section, words), _string(code, "code")
        yield from _empty(section, words)


def _title(section: Mapping[str, Any], words: Wording) -> str:
    return _string(section, "title") or words.say("CodeableConcept", section.get("code")) or "Section"


def _sections(holder: Mapping[str, Any], words: Wording, level: int) -> Iterator[tuple[int, str, str]]:
    """(level of heading, title, XHTML) of every section, in order."""
    for section in _dicts(holder.get("section")):
        title = _title(section, words)
        text = section.get("text")
        xhtml = _unlabelled(sanitise(_string(text, "div")), title) if isinstance(text, dict) else ""
        inner = list(_sections(section, words, min(level + 1, _LEVELS)))
        if not xhtml and not inner:
            reason = words.say("CodeableConcept", section.get("emptyReason"))
            xhtml = paragraph(f"Nothing here ({reason})." if reason else "Nothing here.")
        yield level, title, xhtml
        yield from inner


def _unlabelled(xhtml: str, title: str) -> str:
    """A narrative that begins with the words of its heading, which stand above it here already, without them."""
    start, label = xhtml.find("<p>"), f"<p><b>{flow(title)}:</b>"
    if start < 0 or "<" in xhtml[1:start].partition(">")[2] or not xhtml.startswith(label, start):
        return xhtml
    rest = xhtml[start + len(label) :]
    # Alone on its line, or in front of what it labels.
    return xhtml[:start] + (rest.removeprefix("</p>") if rest.startswith("</p>") else f"<p>{rest.lstrip()}")


def _attached(entries: Sequence[Mapping[str, Any]], words: Wording) -> Iterator[str]:
    """The files that came with the document: a narrative cannot show them, but must not hide that they are there."""
    for entry in entries:
        resource = entry["resource"]
        if resource.get("resourceType") == "Binary":
            yield words.say("Attachment", {key: resource[key] for key in ("contentType", "data") if key in resource})
        elif resource.get("resourceType") == "DocumentReference":
            for file in _dicts([content.get("attachment") for content in _dicts(resource.get("content"))]):
                if not _address(file):
                    yield words.say("Attachment", file)


def _elsewhere(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The files that a pointer leads to, which did not come: where they are, and never a link."""
    for entry in entries:
        if entry["resource"].get("resourceType") == "DocumentReference":
            for content in _dicts(entry["resource"].get("content")):
                yield from filter(None, [_address(content.get("attachment"))])


def _address(file: Any) -> str:
    """Where a file is that is not in the document; a reference to a part of it is no such place."""
    url = _string(file, "url") if isinstance(file, dict) and "data" not in file else ""
    return url if "://" in url else ""


def _files(read: _Letter) -> Iterator[tuple[str, Sequence[str]]]:
    titles = ("Sent with this document", "Kept elsewhere, and not sent")
    yield from ((title, files) for title, files in zip(titles, (read.attached, read.elsewhere), strict=True) if files)
