"""
What must hold of a parser for any bytes at all: one function for each, `bytes` in, an AssertionError or nothing out.

They are called by the fuzzer (`run.py`), which invents the bytes, and by ordinary tests, which bring their own. Each is
more than "it does not crash": what was read can be written back byte for byte, every message has exactly one verdict,
the cut between two packets changes nothing, and a diagnostic points into the text.
"""

from __future__ import annotations

import gzip
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from itertools import islice
from tempfile import TemporaryFile
from typing import Any, Final
from xml.etree import ElementTree as ET
from zipfile import ZipFile

import orjson
from multidict import CIMultiDict

from mhbridge.adapters.mesh.heads import Head, is_id
from mhbridge.adapters.mesh.packing import gunzip
from mhbridge.adapters.mllp.framing import NEED_DATA, Fault, Frame, Framer, can_be_framed, frame
from mhbridge.errors import MalformedMessage, MessageError, explanations
from mhbridge.fhir.plaintext import plain
from mhbridge.fhir.validate import default_validator
from mhbridge.formats import BrokenMessage, Scope, format_named
from mhbridge.formats.archive import Limits, is_archive, looked_through, unpack
from mhbridge.formats.csv.lines import Lines, lines_of_body
from mhbridge.formats.csv.rows import Row
from mhbridge.formats.csv.sets.record import Record
from mhbridge.formats.document import Letter
from mhbridge.formats.document.blocks import Unread, as_text, as_xhtml, says
from mhbridge.formats.document.reading import read as read_document
from mhbridge.formats.encoding import codec_named
from mhbridge.formats.hl7v2 import Message, Segment, Value
from mhbridge.formats.hl7v2.charset import wide_codec
from mhbridge.formats.hl7v2.envelope import own_bytes
from mhbridge.formats.several import is_several, read_files
from mhbridge.formats.xml.writing import written
from mhbridge.mapping.conversions import Context, Unconvertible, conversion
from mhbridge.mapping.expression import parse
from mhbridge.mapping.files import Items, Pairs, Text
from mhbridge.mapping.reader import MAX_DEPTH, read
from mhbridge.mapping.types import Type
from mhbridge.model import Answer, Before, Envelope, Issue, MessageState, Severity, Verdict

__all__ = ["TARGETS"]

HL7V2, CSV, JSON, XML, FHIR = (format_named(name) for name in ("hl7v2", "csv", "json", "xml", "fhir"))
assert HL7V2 is not None
DOCUMENT = format_named("document")
assert CSV is not None
assert DOCUMENT is not None
assert JSON is not None
assert XML is not None
assert FHIR is not None
ANSWER = Answer(
    Verdict.REFUSED,
    "Not passed on.",
    datetime(2026, 1, 1, tzinfo=UTC),
    code="M710",
    issues=(Issue("M710", Severity.ERROR, "no mapping takes it", "MSH-9"),),
)
_MSH: Final = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?[ \t\r\n]*|[\r\n])(?:MSH|msh)(?![A-Za-z0-9])")


def known(error: MessageError) -> None:
    """The only exception that may come out, with a code that can be explained."""
    assert error.code in explanations(), error.code
    assert error.offset is None or error.offset >= 0


# --- HL7 v2 ------------------------------------------------------------------------------------------------


@cache
def _hl7v2_source() -> Any:
    return HL7V2.declare("Europe/London", "", {"messages": ["ADT^A03", "ADT", "MDM^T02", "ORU^R01"]})


def hl7v2(data: bytes) -> None:
    """HL7 v2: what is read is written back; each MSH has one verdict; an answer is readable and never answered."""
    HL7V2.recognise(data[:4096])
    written = HL7V2.acknowledge(data, ANSWER, name="hub")
    assert not written or HL7V2.acknowledge(written, ANSWER, name="hub") == b"", "an answer to an answer"
    try:
        found = [item for item, _ in HL7V2.messages(data, [_hl7v2_source()])]
    except MalformedMessage as error:
        known(error)
        return
    own = [item for item in found if isinstance(item, (Message, BrokenMessage)) or item.code == "M760"]
    if wide_codec(data[:8]) is None:
        assert len(own) == len(_MSH.findall(data)), "each MSH has one verdict"
        for number, item in enumerate(found):
            if isinstance(item, Message) and len(found) > 1:
                assert own_bytes(data, number, len(found)) in (None, item.body), (
                    "sent on as its own bytes or not at all"
                )
    for item in found:
        if isinstance(item, MessageError):
            known(item)
        else:
            _written_back(item)


def _written_back(message: Message) -> None:
    segments: list[Segment] = [one for name in dict.fromkeys(message.names) for one in message.named(name)]
    segments.sort(key=lambda one: one.position)
    limits = message.delimiters
    lines = []
    for segment in segments:
        fields = segment.fields
        lines.append(limits.field.join([fields[0], *fields[2:]] if segment.name == "MSH" else fields))
        for number in range(1, min(len(fields), 50)):
            _parts(segment, number)
    codec = wide_codec(message.body[:8])
    text = message.body.decode(codec or limits.codec).removeprefix("\ufeff")
    kept = [line for line in re.split("\r\n|\r|\n", text) if line.strip()]
    kept[0] = kept[0].lstrip(" \t")
    assert lines == kept, "what was read is written back"
    again = [one for one, _ in HL7V2.messages(message.body, [_hl7v2_source()])]
    assert [one.facts.kind for one in again if isinstance(one, Message)] == [message.facts.kind]


def _parts(segment: Segment, number: int) -> None:
    limits = segment.delimiters
    for encoded in segment.repetitions(number):
        value = Value(encoded, segment, segment.level(number))
        text = value.text
        assert all(isinstance(value.component(n), str) for n in range(1, min(value.components, 20) + 1))
        if limits.escape_character != "\x00" and "\r" not in text:
            assert limits.unescape(limits.escape(text)) == text, "what is escaped is unescaped"


# --- CSV ---------------------------------------------------------------------------------------------------


@cache
def _csv_sources() -> tuple[Any, ...]:
    columns = ["nhs_number", "family", "note"]
    return (
        CSV.declare("Europe/London", "", {"columns": columns}),
        CSV.declare("Europe/London", "cp1252", {"columns": columns, "delimiter": ";", "control_id": "nhs_number"}),
    )


def csv(data: bytes) -> None:
    """CSV: the rows are the file's own bytes, in order, none missing; each can be read again alone."""
    CSV.recognise(data[:4096])
    for source in _csv_sources():
        try:
            found = [item for item, _ in CSV.messages(data, [source])]
        except MalformedMessage as error:
            known(error)
            continue
        codec = codec_named(source.charset or "UTF-8")
        rows = [item for item in found if isinstance(item, Row)]
        for row in rows:
            assert set(source.options["columns"]) <= row.cells.keys()
            whole = _unbroken(row.body.decode(codec))
            assert all(
                cell in whole or cell.replace('"', '""') in whole for cell in map(_unbroken, row.cells.values())
            ), "a cell is what stands in the file"
            ((again, _),) = CSV.messages(row.body, [source])
            assert isinstance(again, Row)
            assert again.cells == row.cells, "a row can be read again alone"
        for item in found:
            if isinstance(item, MessageError):
                known(item)
        if rows:
            _in_order(data, found, rows[0].body[: -len(rows[0].own)])
            _in_parts(data, source, rows)


def _in_order(data: bytes, found: list[Any], header: bytes) -> None:
    """Nothing between two rows but blank ones."""
    assert data.startswith(header.rstrip(b"\r\n"))
    at = len(header.rstrip(b"\r\n"))
    for item in found:
        assert item.body.startswith(header)
        begin = data.index(item.body[len(header) :], at)
        assert not data[at:begin].strip(b' \t\r\n",;\xa0\xc2'), "a row was passed over"
        at = begin + len(item.body) - len(header)


def _in_parts(data: bytes, source: Any, rows: list[Row]) -> None:
    parts, again = CSV.parts(BytesIO(data), [source]), []
    if parts is None:
        return
    try:
        for part in parts:
            again += [one for one, _ in CSV.messages(part.body, [source], part.before) if isinstance(one, Row)]
    except MalformedMessage as error:
        known(error)
    assert [one.cells for one in again] == [one.cells for one in rows], "in parts as in one"


def _unbroken(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


# --- JSON --------------------------------------------------------------------------------------------------


@cache
def _json_sources() -> tuple[Any, ...]:
    return tuple(JSON.declare("Europe/London", "", one) for one in ({}, {"lines": "yes"}, {"message_per": "$.a"}))


def json(data: bytes) -> None:
    """JSON: what we take, others take and read alike; each document can be read again alone; in parts as in one."""
    JSON.recognise(data[:4096])
    for source in _json_sources():
        try:
            found = [item for item, _ in JSON.messages(data, [source])]
        except MalformedMessage as error:
            known(error)
            continue
        read = []
        for item in found:
            if isinstance(item, MessageError):
                known(item)
                continue
            read.append(_leaves(JSON, item, source))
            assert sorted(read[-1].items()) == sorted(_others(orjson.loads(item.body), "$")), "read as others read it"
            ((again, _),) = JSON.messages(item.body, [source])
            assert _leaves(JSON, again, source) == read[-1], "a document can be read again alone"
        if (parts := JSON.parts(BytesIO(data), [source])) is not None:
            again = [one for part in parts for one, _ in JSON.messages(part.body, [source], part.before)]
            assert [_leaves(JSON, one, source) for one in again if not isinstance(one, MessageError)] == read


@cache
def _fhir_sources() -> tuple[Any, ...]:
    kinds = ["document", "message", "collection", "Encounter", "Patient"]
    return tuple(FHIR.declare("Europe/London", "", {"version": one, "messages": kinds}) for one in ("R4", "STU3"))


@cache
def _fhir_readers() -> tuple[Any, ...]:
    paths = (
        "Encounter.participant.individual->Practitioner.name",
        "Composition.author->Practitioner<-PractitionerRole.practitioner.code",
        'Patient.identifier[system="x" and use!="y"]',
        "Composition.section.entry->List.entry.item->Condition.onset",
    )
    return tuple(FHIR.every(FHIR.scan(one, 0, len(one))[0], Scope(_fhir_sources()[1])) for one in paths)


def fhir(data: bytes) -> None:
    """FHIR: each message can be read again alone; paths and references end; an answer is never answered."""
    FHIR.recognise(data[:4096])
    written = FHIR.acknowledge(data, ANSWER, name="hub")
    assert not written or FHIR.acknowledge(written, ANSWER, name="hub") == b"", "an answer to an answer"
    try:
        found = [item for item, _ in FHIR.messages(data, _fhir_sources())]
    except MalformedMessage as error:
        known(error)
        return
    for item in found:
        if isinstance(item, MessageError):
            known(item)
            continue
        ((again, _),) = FHIR.messages(item.body, _fhir_sources())
        assert _leaves(FHIR, again, _fhir_sources()[0]) == _leaves(FHIR, item, _fhir_sources()[0]), "read again alone"
        for reader in _fhir_readers():
            assert all(node.end > node.first for node in reader(FHIR.cursor(item)))


def _leaves(format_: Any, message: Any, source: Any) -> dict[str, Any]:
    def said(cell: int) -> Any:
        text = format_.leaf(message, cell, 0)
        kind = type(message.tree.leaves[cell].value).__name__
        return text if kind == "str" else orjson.loads(text)

    return {format_.path(message, cell, 0, source, exact=True): said(cell) for cell, _ in format_.populated(message)}


def _others(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The leaves as another reader finds them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            word = re.fullmatch(r"[A-Za-z_@$][A-Za-z0-9_@$-]*", key)
            quoted = key.replace("\\", "\\\\").replace('"', '\\"')
            yield from _others(inner, f"{path}.{key}" if word else f'{path}["{quoted}"]')
    elif isinstance(value, list):
        for place, inner in enumerate(value, 1):
            yield from _others(inner, f"{path}[{place}]")
    elif value is not None and not (isinstance(value, str) and not value.strip()):
        yield path, value


# --- XML ---------------------------------------------------------------------------------------------------


@cache
def _xml_sources() -> tuple[Any, ...]:
    cda = {"namespaces": {"": "urn:hl7-org:v3"}, "root": "ClinicalDocument", "dialect": "cda"}
    return (
        XML.declare("Europe/London", "", cda),
        XML.declare("Europe/London", "", {"root": "a", "message_per": "/a/b", "control_id": "/a/b/@k"}),
    )


def xml(data: bytes) -> None:
    """XML: what is read is what expat reads; written it reads the same; each leaf has a path that finds it alone."""
    XML.recognise(data[:4096])
    sources = list(_xml_sources())
    try:
        found = list(XML.messages(data, sources))
    except MalformedMessage as error:
        known(error)
        return
    assert found, "a document is a message, or why not is said"
    for item, takers in found:
        if isinstance(item, MessageError):
            known(item)
            continue
        _as_expat(item.body, item.tree.outer)
        ((again, _),) = XML.messages(written(item.tree.outer), sources)
        assert _told(again.tree.outer) == _told(item.tree.outer), "written it reads the same"
        ((alone, taking),) = XML.messages(item.body, sources)
        assert taking == takers, "a message can be read again alone"
        assert _told(alone.tree.outer) == _told(item.tree.outer), "and is the same"
        _found_again(item)


def _told(element: Any) -> Any:
    return element.name, element.attributes, element.text, [(_told(one), one.tail) for one in element.children]


def _as_expat(body: bytes, outer: Any) -> None:
    """Expat reads UTF-8 and UTF-16 by itself; a body in another encoding is left to the unit tests."""
    try:
        root = ET.fromstring(body)  # our own parser took it, so there is no document type
    except (ET.ParseError, LookupError, ValueError):
        # Expat has the names of the fourth edition of XML 1.0, and we those of the fifth, which allows more letters.
        named = b"encoding" in body[:200] or b"xmlns" in body or not body.isascii()
        assert named, "what we read expat reads"
        return
    assert _told_by_expat(root) == _told(outer), "read as others read it"


def _told_by_expat(element: Any) -> Any:
    inner = [(_told_by_expat(one), one.tail or "") for one in element]
    return element.tag, dict(element.attrib), element.text or "", inner


def _found_again(message: Any) -> None:
    source = _xml_sources()[0]
    for cell, mask in list(XML.populated(message))[:40]:
        for bit in (bit for bit in range(mask.bit_length()) if mask >> bit & 1):
            path = XML.path(message, cell, bit, source, exact=True)
            if "{" in path:
                continue
            scanned = XML.scan(path, 0, len(path))
            assert scanned is not None
            assert scanned[1] == len(path), "a path of a leaf is a path"
            values = XML.every(scanned[0], Scope(source))(XML.cursor(message))
            assert [XML.text(one) for one in values] in ([XML.leaf(message, cell, bit)], []), "that finds it alone"


# --- MLLP --------------------------------------------------------------------------------------------------

_LIMIT: Final = 48


def events(chunks: list[bytes], limit: int = _LIMIT) -> list[Frame | Fault]:
    """What a framer says of bytes in these pieces, up to where it loses the thread."""
    framer, found = Framer(limit), []
    for chunk in (*chunks, b""):
        framer.receive_data(chunk)
        while (event := framer.next_event()) is not NEED_DATA:
            found.append(event)
            if isinstance(event, Fault) and event.lost:
                return found
        assert framer.buffered <= max(limit + 8, 70_000), "memory is bounded"
    return found


def mllp(data: bytes) -> None:
    """MLLP: how the bytes are cut into packets changes nothing, and none is dropped in silence."""
    cuts = sorted({byte * len(data) // 256 for byte in data[:6]})
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    whole = events([data])
    assert whole == events([data[i : i + 1] for i in range(len(data))]), "byte by byte"
    assert whole == events([piece for piece in pieces if piece]), "in pieces"
    said = sum(len(event.body) if isinstance(event, Frame) else event.size for event in whole)
    silent = sum(data.count(byte) for byte in (b"\x0b", b"\x1c", b"\r", b"\n"))
    assert len(data) - silent <= said <= len(data), "every byte ends in an event"
    assert all(len(event.body) <= _LIMIT for event in whole if isinstance(event, Frame))
    if can_be_framed(data):
        assert events([frame(data)], len(data)) == [Frame(data)], "what is framed is read back"


_UNPACKED: Final = 10_000


def mesh(data: bytes) -> None:
    """MESH: the head of a message is words and numbers within bounds; what is unpacked is whole, within the limit."""
    lines, _, packed = data.partition(b"\n\n")
    given = (line.partition(b":") for line in lines.split(b"\n"))
    headers = CIMultiDict((name.decode("latin-1"), value.strip().decode("latin-1")) for name, _, value in given)
    try:
        head = Head.of("20261123_ABC", headers)
    except MalformedMessage as error:
        known(error)
    else:
        said = (head.sender, head.workflow, head.linked, head.local_id, head.status)
        assert all(re.fullmatch(r"[A-Za-z0-9_.:-]{0,300}", word) for word in said), "words"
        assert 1 <= head.chunks <= 1_000, "so many chunks there can be"
        assert not head.linked or is_id(head.linked), "an id can be part of an address"
    try:
        body = gunzip(packed, _UNPACKED)
    except MalformedMessage as error:
        known(error)
    else:
        assert len(body) <= _UNPACKED, "within the limit"
        assert gzip.decompress(packed) == body, "as another reader unpacks it"


# --- mapping files -----------------------------------------------------------------------------------------


def yaml(data: bytes) -> None:
    """Mapping files: nothing is raised; a file is read, or a diagnostic inside it says why not."""
    file = read("a.yaml", data)
    assert (file.root is None) or not any(d.code in ("E001", "E002", "E011") for d in file.diagnostics)
    assert file.root is not None or file.diagnostics, "a file that is not read says why"
    for diagnostic in file.diagnostics:
        assert diagnostic.code in explanations(), diagnostic.code
        _inside(file, diagnostic.span)
        diagnostic.render()
    if file.root is not None:
        _node(file, file.root, 0)


def _inside(file: Any, span: Any) -> None:
    lines = file.lines
    assert 1 <= span.line <= span.end_line <= max(1, len(lines)) + 1
    assert span.column >= 1
    if span.line <= len(lines):
        assert span.column <= len(lines[span.line - 1]) + 1, "a caret stands below its line"
    assert (span.line, span.column) <= (span.end_line, span.end_column)


def _node(file: Any, node: Any, depth: int) -> None:
    assert depth <= MAX_DEPTH
    _inside(file, node.span)
    if isinstance(node, Text):
        assert 0 <= node.start <= node.end <= len(file.raw)
        if node.style == "plain" and len(file.raw[node.start : node.end].splitlines()) == 1:
            assert file.raw[node.start : node.end] == node.value, "plain text is what stands there"
    elif isinstance(node, Pairs):
        for value in node.entries.values():
            _node(file, value, depth + 1)
    elif isinstance(node, Items):
        for value in node.entries:
            _node(file, value, depth + 1)


def expression(data: bytes) -> None:
    """Expressions: a tree whose places lie inside the text, or one diagnostic that does."""
    source = data.decode("utf-8", "ignore").replace("\r", " ").replace("\n", " ")
    file = read("a.yaml", b"x: '= " + source.replace("'", "''").encode() + b"'\n")
    if file.diagnostics or not isinstance(file.root, Pairs):
        return
    text = file.root.entries["x"]
    assert isinstance(text, Text)
    for format_ in (None, HL7V2, CSV):
        file.diagnostics.clear()
        tree = parse(file, text, format_)
        assert (tree is None) == bool(file.diagnostics), "a tree, or why there is none"
        for diagnostic in file.diagnostics:
            assert diagnostic.code in explanations(), diagnostic.code
            _inside(file, diagnostic.span)
            assert text.span.column <= diagnostic.span.column <= text.span.end_column, "inside the expression"
        if tree is not None:
            _inside(file, tree.span)


# --- the whole flow ----------------------------------------------------------------------------------------


@cache
def _feed() -> Any:
    from mhbridge.mapping.catalogue import Catalogue
    from mhbridge.mapping.library import Library, built_in
    from mhbridge.testing.replaying import feed_of

    return feed_of(Catalogue(Library([built_in("mappings")])), "example-mental-health")


def flow(data: bytes) -> None:
    """The flow: every message ends in one state; what is sent is valid; a parked one has a code."""
    from mhbridge.pipeline import intake, step
    from mhbridge.testing.replaying import RECEIVED_AT

    feed = _feed()
    try:
        taken = intake(Envelope(data, feed.supplier, feed.name, RECEIVED_AT, "file"), feed)
    except MalformedMessage as error:
        known(error)
        return
    for one in taken.messages:
        outcome = step(one, {}, RECEIVED_AT, feed)
        assert outcome.state in (MessageState.DONE, MessageState.PARKED, MessageState.FILTERED)
        assert (outcome.state is MessageState.PARKED) <= (outcome.code in explanations())
        assert all(issue.code in explanations() for issue in outcome.issues)
        if outcome.deliveries:
            from mhbridge.fhir.bundle import loads

            for document in outcome.documents:
                assert not [i for i in default_validator()(loads(document.body)) if i.severity is Severity.ERROR]


# --- sets of tables ----------------------------------------------------------------------------------------


@cache
def _set_source() -> Any:
    tables = {
        "Spell": {"columns": ["SpellID", "RefID"], "key": "SpellID"},
        "Referral": {"columns": ["RefID", "Note"], "one_for": "Spell", "by": "RefID", "optional": "true"},
        "Stay": {"columns": ["SpellID", "Start"], "many_for": "Spell", "by": "SpellID", "latest": "Start"},
    }
    return CSV.declare("Europe/London", "", {"message_per": "Spell", "tables": tables, "dates": "dd/mm/yyyy"})


def tables(data: bytes) -> None:
    """Sets: each row is in a message or in what waits; each record can be read again alone; in parts as in one."""
    source = _set_source()
    try:
        found = [item for item, _ in CSV.messages(data, [source])]
        files = read_files(data) if is_several(data[:4096]) else ()
    except MalformedMessage as error:
        known(error)
        return
    records = [item for item in found if isinstance(item, Record)]
    for record in records:
        ((again, _),) = CSV.messages(record.body, [source])
        assert isinstance(again, Record), "a record can be read again alone"
        assert sorted(map(_row, again.rows)) == sorted(map(_row, record.rows))
    for item in found:
        if isinstance(item, MessageError):
            known(item)
    gathering = CSV.gathers([source])
    named = {place[1]: (file.name, BytesIO(file.body)) for file in files if (place := gathering.place(file.name))}
    if len(named) != len(files) or any(file.lines for file in files):
        return
    bodies = b"".join(item.body for item in found if hasattr(item, "body"))
    for name, (_, file) in named.items():
        # The first line names the columns: where a table has no rows, that is nothing to keep.
        for own in islice(Lines(lines_of_body(file.getvalue(), "utf-8")[0], "utf-8"), 1, None):
            assert not own.strip(' \t\r\n",\xa0') or own.strip("\r\n").encode("utf-8", "surrogateescape") in bodies, (
                name
            )
    try:
        parts = gathering.parts(named, Before(), TemporaryFile)
        again = [one for part in parts or () for one, _ in CSV.messages(part.body, [source], part.before)]
    except MalformedMessage as error:
        known(error)
        return
    # What stands outside the rows (a broken one's dates) may turn the order of a whole file, and not that of its parts.
    if parts is not None and not any(getattr(item, "code", "") == "M773" for item in (*found, *again)):
        assert [one.facts.control_id for one in again if isinstance(one, Record)] == [
            record.facts.control_id for record in records
        ], "in parts as in one"


def _row(row: Any) -> tuple[str, int, str]:
    return row.table.name, row.line, str(row.cells)


# --- documents ---------------------------------------------------------------------------------------------


@cache
def _letter_source() -> Any:
    index = {"index": "LET_{no}.csv", "columns": ["No", "Surname"], "separators": {"Surname": ";"}}
    return DOCUMENT.declare("Europe/London", "", {"letter": "LET_{no}_{patient}.*", "control_id": "no", **index})


_DOCX: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def document(data: bytes) -> None:
    """Documents: each file is in a letter or in what waits; a letter is its document's own bytes, and is read again."""
    source = _letter_source()
    try:
        found = [item for item, _ in DOCUMENT.messages(data, [source])]
        files = read_files(data) if is_several(data[:4096]) else ()
    except MalformedMessage as error:
        known(error)
        return
    for item in found:
        if isinstance(item, MessageError):
            known(item)
            continue
        ((again, _),) = DOCUMENT.messages(item.body, [source])
        assert isinstance(again, Letter), "a letter can be read again alone"
        assert again.content == item.content
        for target in ("Attachment", "text", "xhtml"):
            try:
                made = conversion("document", Type(target)).convert(item.content, Context())
            except Unconvertible:
                continue
            if target == "Attachment":
                assert b64decode(made["data"]) == item.content.body, "every byte as it came"
    bodies = b"".join(item.body for item in found)
    assert all(file.body in bodies for file in files), "a file is lost"
    for file in files:
        kind = {b"%PDF": "application/pdf", b"PK\x03\x04": _DOCX}.get(file.body[:4])
        if kind is not None:
            try:
                blocks, _ = read_document(kind, file.body)
            except Unread:
                continue
            assert says(blocks) == bool(as_text(blocks).strip(" |\n")) == bool(plain(as_xhtml(blocks)).strip())


# --- archives ----------------------------------------------------------------------------------------------

_LIMITS: Final = Limits(size=100_000, ratio=100, members=20)


def archive(data: bytes) -> None:
    """ZIP: refused with its code, or plain names each once, within the limits, each as long as the directory says."""
    file = BytesIO(data)
    if not is_archive(file):
        return
    try:
        members = looked_through(file, _LIMITS)
    except MalformedMessage as error:
        known(error)
        return
    names = [member.filename for member in members]
    assert len(set(names)) == len(names) <= _LIMITS.members, "each name once"
    assert not any(name.startswith("/") or ".." in name.split("/") for name in names), "no way out"
    contents = []
    with ZipFile(file) as opened:
        for member in members:
            into = BytesIO()
            unpack(opened, member, into)
            contents.append(into.getvalue())
            assert len(contents[-1]) == member.file_size, "as long as it says"
    assert sum(map(len, contents)) <= min(_LIMITS.size, _LIMITS.ratio * len(data)), "within its limits"
    assert not any(content.startswith((b"PK\x03\x04", b"\x1f\x8b")) for content in contents), "one level"


#: By the name that `run.py` takes.
TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "hl7v2": hl7v2,
    "csv": csv,
    "json": json,
    "fhir": fhir,
    "xml": xml,
    "mllp": mllp,
    "mesh": mesh,
    "yaml": yaml,
    "expression": expression,
    "flow": flow,
    "zip": archive,
    "tables": tables,
    "document": document,
}
