"""
What samples of each format say about their `source:` block, and by what names their values go.

A format that is not listed here gets a `source:` of its name alone, and its values go by the last word of their paths.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mhbridge.errors import MalformedMessage, MessageError
from mhbridge.formats import Format, Message, Source, format_named
from mhbridge.mapping.drafting.letters import rule

__all__ = ["Sample", "Sketch", "column", "read_as", "samples_of", "sections", "sketch"]

#: So many messages of the samples are looked at.
MOST: Final = 200


@dataclass(frozen=True, slots=True)
class Sketch:
    """
    Args:
        source: the keys of the `source:` block after `format`, as YAML, with a comment each.
        options: the same as `declare` takes them.
        charset: where the format does not say it in the message.
        names: name of a value → the path that reads it; empty where paths say what a value is (HL7 v2).
        messages: kinds of message in the samples.
    """

    source: tuple[tuple[str, str, str], ...]
    options: Mapping[str, Any]
    charset: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """
    One message and its populated leaves.

    Args:
        leaves: (path of leaves alike, path of this one, number of the cell, number of the bit, text).
    """

    message: Message
    leaves: tuple[tuple[str, str, int, int, str], ...]


def samples_of(format_: Format, bodies: Sequence[bytes], source: Source) -> list[Sample]:
    """The messages of some samples that can be read, no more than a few hundred."""
    found: list[Sample] = []
    for body in bodies:
        for message, _ in format_.messages(body, [source]):
            if isinstance(message, MessageError):
                continue
            leaves = []
            for cell, mask in format_.populated(message):
                for bit in range(mask.bit_length()):
                    if mask >> bit & 1:
                        like = format_.path(message, cell, bit, source, exact=False)
                        exact = format_.path(message, cell, bit, source, exact=True)
                        leaves.append((like, exact, cell, bit, format_.leaf(message, cell, bit)))
            found.append(Sample(message, tuple(leaves)))
            if len(found) >= MOST:
                return found
    return found


def sketch(format_: Format, bodies: Sequence[bytes]) -> Sketch:
    """
    What the samples say about their source.

    Raises:
        MessageError: nothing of them can be read.
    """
    known: Mapping[str, Callable[[Format, Sequence[bytes]], Sketch]] = {
        "hl7v2": _hl7v2,
        "csv": _csv,
        "xml": _xml,
        "fhir": _fhir,
        "document": _document,
    }
    return known.get(format_.name, _other)(format_, bodies)


def _other(format_: Format, bodies: Sequence[bytes]) -> Sketch:
    source = format_.declare("Europe/London", "", {})
    leaves = [leaf for sample in samples_of(format_, bodies, source) for leaf in sample.leaves]
    # Of what stands in a list, only a person can say what its entries are.
    listed = {like for like, exact, *_ in leaves if "[" in exact}
    return Sketch((), {}, names=_names(dict.fromkeys(like for like, *_ in leaves if like not in listed)))


#: Words that say what a value is only together with the word before them.
_TOO_PLAIN: Final = frozenset(
    {"name", "id", "code", "text", "title", "role", "phone", "status", "type", "value", "date", "number", "system",
     "display", "address", "email", "reference", "summary", "ward", "written", "job", "author"}
)  # fmt: skip


def _names(paths: Iterable[str]) -> dict[str, str]:
    """Path by its last two words, and by its last where no other path ends with it and it says enough."""
    words = {path: re.findall(r"[A-Za-z_][\w-]*", path) for path in paths if "[" not in path}
    ends = Counter(found[-1].casefold() for found in words.values() if found)
    names: dict[str, str] = {}
    for path, found in words.items():
        if len(found) > 1:
            names.setdefault(f"{found[-2]} {found[-1]}", path)
        if found and ends[found[-1].casefold()] == 1 and found[-1].casefold() not in _TOO_PLAIN:
            names.setdefault(found[-1], path)
    return names


def _fhir(format_: Format, bodies: Sequence[bytes]) -> Sketch:
    # A profile of STU3 says so in its address; nothing else in a message says its version.
    version = "STU3" if any(b"/STU3/" in body for body in bodies) else "R4"
    anything = format_.declare("Europe/London", "", {"version": version, "messages": ["document"]})
    read = samples_of(format_, bodies, anything)
    kinds = tuple(dict.fromkeys(sample.message.facts.kind for sample in read))
    options = {"version": version, "messages": list(kinds)}
    # Of whom a name or a number is, its resource says: only the patient's are plain.
    paths = dict.fromkeys(like for sample in read for like, *_ in sample.leaves if like.startswith("Patient."))
    source = (("version", version, "of the profiles"), ("messages", f"[{', '.join(kinds)}]", ""))
    return Sketch(source, options, names={_last_word(path): path for path in reversed(paths)}, kinds=kinds)


def _last_word(path: str) -> str:
    words = re.findall(r"[A-Za-z_][\w-]*", path)
    return words[-1] if words else path


# --- documents -------------------------------------------------------------------------------------------


#: What may be a letter's as well as a person's.
_OF_A_LETTER: Final = frozenset({"name", "title"})


def _document(_format: Format, bodies: Sequence[bytes]) -> Sketch:
    """How the files are named, and what the indexes say about theirs."""
    made = rule(bodies)
    options: dict[str, Any] = {}
    source: list[tuple[str, str, str]] = []
    inner, names = Sketch((), {}), dict[str, str]()
    format_ = format_named(made.index_format) if made.index_format else None
    if format_ is not None:
        inner = sketch(format_, made.indexes)
        declared = format_.declare("Europe/London", inner.charset, inner.options)
        read = samples_of(format_, made.indexes, declared)
        if len(read) != len(bodies):
            raise MalformedMessage("M862", "an index says one letter, and lies beside it; one of the samples does not")
        # Of what stands in a list, only a person can say what its entries are.
        listed = {like for sample in read for like, exact, *_ in sample.leaves if "[" in exact.removeprefix("[")}
        # What an element says is found by the path of the element.
        paths = {like: like.removesuffix("/text()") for one in read for like, *_ in one.leaves if like not in listed}
        named = inner.names if format_.name == "csv" else _names(paths.values())
        names = {name: path for name, path in named.items() if name.casefold() not in _OF_A_LETTER}
        called = {path: name for name, path in reversed(names.items())}
        said = [{called.get(paths.get(like, like), ""): text for like, *_, text in one.leaves} for one in read]
        made = rule(bodies, said)
        options = {**inner.options, "index": made.index, "index_format": format_.name}
        source = [("index", _quoted(made.index), ""), ("index_format", format_.name, ""), *inner.source]
    for part in made.fields:
        names.setdefault(part, f"[file:{part}]")
    comment = "proposed from the names of the samples: in braces is what differs, or may be a person's"
    source.insert(0, ("letter", _quoted(made.letter), comment))
    options |= {"letter": made.letter, "control_id": made.control_id}
    return Sketch(tuple(source), options, inner.charset, names)


def _quoted(name: str) -> str:
    """The name of a file as a scalar."""
    return name if re.fullmatch(r"[A-Za-z][\w .{}*-]*", name) else "'" + name.replace("'", "''") + "'"


# --- HL7 v2 ------------------------------------------------------------------------------------------------


def _hl7v2(format_: Format, bodies: Sequence[bytes]) -> Sketch:
    kinds: dict[str, None] = {}
    senders: dict[str, None] = {}
    versions: Counter[str] = Counter()
    for body in bodies:
        for message, _ in format_.messages(body, []):
            if isinstance(message, MessageError):
                continue
            kinds[message.facts.kind] = None
            senders[message.facts.sender] = None
            versions[_version(message.body)] += 1
    options: dict[str, Any] = {"messages": list(kinds)}
    source = [("messages", f"[{', '.join(kinds)}]", "")]
    for version, _ in versions.most_common():
        try:
            format_.declare("Europe/London", "", {**options, "version": version})
        except Exception:  # noqa: BLE001, S112  # a version that is not known is left out
            continue
        options["version"] = version
        source.insert(0, ("version", f'"{version}"', "MSH-12 of the samples"))
        break
    return Sketch(tuple(source), options, kinds=tuple(kinds), senders=tuple(filter(None, senders)))


def _version(body: bytes) -> str:
    """MSH-12 (HL7 v2.4 §2.16.9.12)."""
    header = body.partition(b"\r")[0].decode("latin-1")
    fields = header.split(header[3:4] or "|")
    return re.split(r"[^0-9.]", fields[11])[0] if len(fields) > 11 else ""


# --- CSV ---------------------------------------------------------------------------------------------------

_DELIMITERS: Final = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_DAY_FIRST: Final = re.compile(r"(\d{1,2})([-/. ])(\d{1,2})\2(\d{4})(?: \d{1,2}:\d\d(:\d\d)?)?")


#: What is the value of a cell, and not the name of a column: a number, a date.
_SAID: Final = re.compile(r"\d+|\d{1,4}([-/.])\d{1,2}\1\d{1,4}.*|[\d ]{10,}")


def _stands_below(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the name of a column stands in it as a value, too; a header that comes again says nothing."""
    rows = [row for row in rows if row != columns]
    return any(name and name in {row[at] for row in rows if at < len(row)} for at, name in enumerate(columns))


def read_as(body: bytes) -> tuple[str, str, str]:
    """The text of a file, its character set where that is not UTF-8, and what stands between cells."""
    charset = ""
    try:
        if body.startswith((b"\xff\xfe", b"\xfe\xff")):
            text, charset = body.decode("utf-16"), "UTF-16"
        else:
            text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text, charset = body.decode("windows-1252", "replace"), "windows-1252"
    first = text.splitlines()[0] if text.strip() else ""
    return text, charset, max(_DELIMITERS, key=lambda one: len(next(csv.reader([first], delimiter=one), [])))


def _csv(_format: Format, bodies: Sequence[bytes]) -> Sketch:
    text, charset, delimiter = read_as(bodies[0])
    columns, *rows = [*csv.reader(text.splitlines(), delimiter=delimiter)] or [[]]
    if any(_SAID.fullmatch(name.strip()) for name in columns) or _stands_below(columns, rows):
        # A draft holds the names of columns: what a row says must not be taken for them.
        raise MalformedMessage("M770", "its first line is a row and no header; an extract has a header")
    options: dict[str, Any] = {"columns": columns, "delimiter": delimiter}
    source = [("columns", f"[{', '.join(column(name) for name in columns)}]", "")]
    if delimiter != ",":
        shown = '"\\t"' if delimiter == "\t" else f'"{delimiter}"'
        source.append(("delimiter", shown, _DELIMITERS[delimiter]))
    lines = [line for body in bodies for line in read_as(body)[0].splitlines()[1 : 1 + MOST]]
    cells = [cell.strip() for row in csv.reader(lines[:MOST], delimiter=delimiter) for cell in row]
    dates = [found for cell in cells if (found := _DAY_FIRST.fullmatch(cell))]
    if dates:
        day_first = not all(int(one[1]) <= 12 for one in dates) or all(int(one[3]) <= 12 for one in dates)
        order = ("dd", "mm") if day_first else ("mm", "dd")
        sure = any(int(one[1]) > 12 or int(one[3]) > 12 for one in dates)
        options["dates"] = f"{dates[0][2].join((*order, 'yyyy'))}"
        comment = "" if sure else "the samples fit the other order too: ask the supplier"
        source.append(("dates", options["dates"], comment))
    if charset:
        source.append(("charset", charset, "the samples are not in UTF-8"))
    return Sketch(tuple(source), options, charset, {name: f"[{name}]" for name in columns})


def column(name: str) -> str:
    """The name of a column as it stands in a list in flow style."""
    return name if re.fullmatch(r"[A-Za-z][\w ./()-]*", name) else "'" + name.replace("'", "''") + "'"


# --- XML -----------------------------------------------------------------------------------------------------

_CDA: Final = "urn:hl7-org:v3"
_XML: Final = "http://www.w3.org/XML/1998/namespace"
#: What everybody calls these namespaces.
_PREFIXES: Final[Mapping[str, str]] = {
    "http://www.w3.org/2001/XMLSchema-instance": "xsi",
    "urn:hl7-org:sdtc": "sdtc",
    "NPFIT:HL7:Localisation": "npfitlc",
    "urn:nhs-itk:ns:201005": "itk",
    "http://schemas.xmlsoap.org/soap/envelope/": "soap",
}


def _xml(format_: Format, bodies: Sequence[bytes]) -> Sketch:
    """Root, namespaces and dialect; of a CDA its most special template, or which NHS message it is."""
    found: dict[str, Any] = {}
    roots: dict[str, None] = {}
    for body in bodies:
        for message, _ in format_.messages(body, []):
            if not isinstance(message, MessageError):
                root: Any = format_.cursor(message)
                roots[root.name] = None
                for element in root.inside():
                    for name in (element.name, *element.attributes):
                        if name.startswith("{"):
                            found[name[1:].partition("}")[0]] = None
                            found.setdefault("", root)
    root = found.pop("", None)
    name = next(iter(roots), "")
    space, local = name[1:].partition("}")[::2] if name.startswith("{") else ("", name)
    others = [uri for uri in found if uri not in (space, _XML)]
    prefixes = {space: ""} | {uri: _PREFIXES.get(uri, f"n{n}") for n, uri in enumerate(others, 1)}
    namespaces = {prefix: uri for uri, prefix in prefixes.items() if uri}
    shown = ", ".join(f'"{prefix}": {uri}' if not prefix else f"{prefix}: {uri}" for prefix, uri in namespaces.items())
    options: dict[str, Any] = {"namespaces": namespaces, "root": local}
    source = [("namespaces", "{" + shown + "}", "")] if shown else []
    source.append(("root", local, ""))
    if space == _CDA:
        options["dialect"] = "cda"
        source.append(("dialect", "cda", ""))
        templates = [
            one.attributes["root"]
            for one in (root.children if root is not None else ())
            if one.name == f"{{{_CDA}}}templateId" and one.attributes.get("root")
        ]
        if templates:
            options["templates"] = templates[-1:]
            source.append(("templates", f"[{templates[-1]}]", "which documents it takes: the last one of the samples"))
    if not local:
        return Sketch((), {"root": "unknown"})
    declared = format_.declare("Europe/London", "", options)
    paths = dict.fromkeys(like for sample in samples_of(format_, bodies, declared) for like, *_ in sample.leaves)
    names = {} if space == _CDA else {_last_word(path): path for path in reversed(paths)}
    return Sketch(tuple(source), options, names=names)


def sections(root: Any) -> dict[tuple[str, ...], None]:
    """The sections of a CDA, each by the tests that find it: its code, its title."""
    found: dict[tuple[str, ...], None] = {}
    for element in root.inside():
        if element.name == f"{{{_CDA}}}section":
            inside = {one.name.rpartition("}")[2]: one for one in reversed(list(element.children))}
            code = inside["code"].attributes.get("code", "") if "code" in inside else ""
            title = " ".join(inside["title"].text.split()) if "title" in inside else ""
            tests = [f'{path}="{said}"' for path, said in (("code/@code", code), ("title", title)) if said]
            if tests and not any('"' in said for said in (code, title)):
                found[tuple(tests)] = None
    return found
