"""
HL7 v2: messages as wards send them, paths into them, and their acknowledgements.

`FORMAT` is the door (see `mhbridge.formats.Format`); everything else is behind it:

    envelope          bytes → messages: batches, character sets, what is refused
    message           Message, Segment, Value: lazy cursors
    delimiters        encoding characters and escapes
    charset           MSH-18
    path, outline     what a path says; which segments belong to which
    reach, predicate  which segments and repetitions are meant
    read              path + scope → functions
    cells, places     for the field ledger: what is there; what a path reads of it
    structure         data types by version (`structure.json`, written by `generate`)
    acknowledgement   the answer

Nothing in here knows what a field is for: that is said by mappings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from mhbridge.errors import MessageError
from mhbridge.formats import (
    Cell,
    DeclarationError,
    Ignoring,
    Loop,
    LoopSpot,
    Path,
    PathError,
    Plain,
    Plan,
    Scope,
    Source,
    Spot,
)
from mhbridge.formats.declaring import check_keys, check_zone
from mhbridge.formats.hl7v2 import cells, places, shapes
from mhbridge.formats.hl7v2.acknowledgement import acknowledgement
from mhbridge.formats.hl7v2.charset import charset_codec
from mhbridge.formats.hl7v2.envelope import begins, read_messages
from mhbridge.formats.hl7v2.message import Message, Segment, Value
from mhbridge.formats.hl7v2.outline import circle
from mhbridge.formats.hl7v2.path import Hl7Path, scan_loop, scan_path
from mhbridge.formats.hl7v2.reach import FieldLoop, make_loop, not_its_own, read_segment
from mhbridge.formats.hl7v2.read import every_reader, first_reader, plain_reader, plan
from mhbridge.formats.hl7v2.structure import UNDECLARED, VERSIONS, Structure, check_segment, structure
from mhbridge.model import Answer

__all__ = ["FORMAT", "Hl7v2", "Message", "Segment", "Value"]

_MESSAGE: Final = re.compile(r"[A-Z][A-Z0-9]{2}(?:\^[A-Z0-9]{2,3})?")
#: A letter O in the place of a nought, as it stands in no event.
_O_FOR_0: Final = re.compile(r"\^[A-Z](?:O[0-9O]|[0-9]O)$")
_SEGMENT: Final = re.compile(r"[A-Z][A-Z0-9]{2}")


class Hl7v2:
    """The format `hl7v2`. Stateless."""

    name: str = "hl7v2"
    reached_by_shape: bool = True
    keys: Mapping[str, str] = MappingProxyType(
        {
            "messages": "the messages it takes: [ADT^A03, MDM^T02]; ADT alone takes every event",
            "version": "the version of HL7 v2: 2.4 takes 2.4 and 2.4.x; left out, every version",
            "groups": "which segments belong to which, where a message differs from its standard: {OBR: [NTE, OBX]}",
        }
    )

    def declare(self, timezone: str, charset: str, options: Mapping[str, Any]) -> Source:
        """Check a `source:` block. Raises `DeclarationError`."""
        check_zone(timezone)
        if charset and charset_codec(charset) is None:
            raise DeclarationError(
                "charset", f"{charset!r} is not a known character set", "for example UTF-8 or 8859/1"
            )
        check_keys(options, self.keys, "an hl7v2 source")
        declared: dict[str, Any] = {"messages": _messages(options.get("messages"))}
        if "version" in options:
            declared["version"] = _version(options["version"])
        if "groups" in options:
            declared["groups"] = _groups(options["groups"])
        return Source(self.name, timezone, charset, MappingProxyType(declared))

    def recognise(self, head: bytes) -> bool:
        """Whether bytes begin with MSH or a batch header."""
        return begins(head)

    def messages(
        self, body: bytes, sources: Sequence[Source]
    ) -> Iterator[tuple[Message | MessageError, tuple[int, ...]]]:
        """The messages of an envelope; see `envelope.read_messages`."""
        return read_messages(body, sources)

    #: The longest path that begins at a place; asked at each word of an expression.
    scan = staticmethod(scan_path)

    def scan_loop(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """The longest path of a `$each` that begins at `start`."""
        return scan_loop(text, start, end)

    def doubt(self, path: Path, scope: Scope) -> PathError | None:
        """What is to be said of a path that is possible and hardly meant."""
        assert isinstance(path, Hl7Path)
        return not_its_own(path, scope)

    def source_type(self, path: Path, scope: Scope) -> str:
        """The data type of what a path finds, by the declared version."""
        assert isinstance(path, Hl7Path)
        table = _table(scope.source)
        if path.relative:
            first_reader(path, scope)  # raises where a relative path is not possible
            around = scope.loops[-1]
            assert isinstance(around, FieldLoop)
            segment, field = around.segment, around.field
        else:
            segment, _ = read_segment(path, scope)
            field = path.field
        _check_tests(path, scope.source)
        if segment.startswith("Z"):
            return UNDECLARED
        found = table.type_of(segment, field, path.component, path.subcomponent)
        if found == UNDECLARED:
            table.check(segment, field, path.component, path.at)
        return found

    def alternatives(self, path: Path, scope: Scope) -> Iterable[tuple[str, str]]:
        """What else could be named near a path whose type does not suit: paths and their types, the nearest first."""
        assert isinstance(path, Hl7Path)
        if path.relative or path.component or path.steps[0].segment.startswith("Z"):
            return ()
        return _table(scope.source).others(path.steps[0].segment, path.field)

    def first(self, path: Path, scope: Scope) -> Callable[[Any], Any]:
        """Cursor → the first value, `ABSENT`, or `DELETED`."""
        assert isinstance(path, Hl7Path)
        return first_reader(path, scope)

    def plan(self, path: Path, scope: Scope) -> Plan | None:
        """How `first` finds it: the segment is the row."""
        assert isinstance(path, Hl7Path)
        return plan(path, scope)

    def plain(self, path: Path, scope: Scope) -> Plain | None:
        """How `every` finds values in which only components are told apart."""
        assert isinstance(path, Hl7Path)
        return plain_reader(path, scope)

    def every(self, path: Path, scope: Scope) -> Callable[[Any], list[Any]]:
        """Cursor → all values, in order."""
        assert isinstance(path, Hl7Path)
        return every_reader(path, scope)

    def loop(self, path: Path, scope: Scope) -> tuple[Loop, Scope]:
        """What a `$each` runs over, and the scope inside it."""
        assert isinstance(path, Hl7Path)
        made = make_loop(path, scope)
        _check_tests(path, scope.source)
        if path.field:
            _table(scope.source).check(path.steps[-1].segment, path.field, 0, path.at)
        return made, Scope(scope.source, (*scope.loops, made))

    def populated(self, message: Any) -> Iterable[Cell]:
        """Every repetition of a field in which something is."""
        return cells.populated(message)

    def shapes(self, message: Any) -> tuple[Sequence[str], Sequence[Hashable]]:
        """The names of the segments, and where separators stand in them."""
        return shapes.shapes(message)

    def layout(self, kind: str, shape: Any) -> Sequence[Cell]:
        """Every repetition of a field in which something is."""
        return shapes.layout(kind, shape)

    def like(self, place: int) -> int:
        """All repetitions of the field."""
        return cells.all_of(place)

    def structural(self, message: Any, source: Source) -> Iterable[Cell]:  # noqa: ARG002  # the protocol's
        """What of the header is acted upon; see `cells.structural`."""
        return cells.structural(message)

    def spot(self, path: Path, scope: Scope, *, many: bool) -> Spot:
        """What a path reads."""
        assert isinstance(path, Hl7Path)
        return places.Places(path, scope, many=many)

    def loop_spot(self, path: Path, scope: Scope) -> LoopSpot:
        """What the predicates of a loop look at."""
        assert isinstance(path, Hl7Path)
        return places.LoopPlaces(path, scope)

    def ignored(self, path: Path) -> Callable[[Any], Iterable[Cell]]:
        """What an entry of `ignore:` names, wherever its segment stands."""
        assert isinstance(path, Hl7Path)
        return places.ignored(path)

    def ignoring(self, paths: Sequence[Path]) -> tuple[Callable[[str, int], int], Ignoring]:
        """The same for all of them at once."""
        return places.ignoring([path for path in paths if isinstance(path, Hl7Path)])

    def touched(self, message: Any, cell: int) -> Any:
        """The segment's name and the number of the field."""
        return cells.touched(message, cell)

    def path(self, message: Any, cell: int, bit: int, source: Source, *, exact: bool) -> str:
        """`PID-3[2].4`, or `PID-3.4`; segments that come several times are counted in brackets."""
        return cells.path_of(message, cell, bit, source.options.get("version", ""), exact=exact)

    def leaf(self, message: Any, cell: int, bit: int) -> str:
        """What one leaf says, encoded."""
        return cells.leaf_text(message, cell, bit)

    def altered(self, message: Any, cell: int, bit: int, encoded: str, source: Source) -> bytes:  # noqa: ARG002
        """The message with one leaf replaced."""
        return cells.altered(message, cell, bit, encoded)

    def cursor(self, message: Any) -> Any:
        """A message is its own outermost cursor."""
        return message

    def text(self, raw: Any) -> str:
        """A value as unescaped text; what is not present has none."""
        return raw.text if isinstance(raw, Value) else ""

    def acknowledge(self, body: bytes, answer: Answer, *, name: str) -> bytes:
        """The acknowledgement; see `acknowledgement.acknowledgement`."""
        return acknowledgement(body, answer, name=name)


def _table(source: Source) -> Structure:
    return structure(source.options.get("version", ""))


def _check_tests(path: Hl7Path, source: Source) -> None:
    """
    That what predicates look at exists: a test of what is not there would never hold, and nobody would know.

    Raises:
        PathError: E205.
    """
    for segment, which, _ in path.steps:
        if which is not None:
            for test in which.tests:
                number, *parts = test.numbers
                _table(source).check(segment, number, parts[0] if parts else 0)
    if path.which is not None:
        for test in path.which.tests:
            _table(source).check(path.steps[-1].segment, path.field, test.numbers[0])


def _messages(given: object) -> tuple[str, ...]:
    if not isinstance(given, (list, tuple)) or not given:
        raise DeclarationError("messages", "an hl7v2 source lists the messages it takes", "for example [ADT^A03]")
    for one in given:
        if not isinstance(one, str) or not _MESSAGE.fullmatch(one):
            raise DeclarationError("messages", f"{one!r} is not a message type", "type and event, as in MSH-9: ADT^A03")
        if _O_FOR_0.search(one):
            meant = f"{one[:-2]}{one[-2:].replace('O', '0')}"
            raise DeclarationError("messages", f"{one!r} has a letter O in its event", f"did you mean {meant}?")
    if len(set(given)) != len(given):
        raise DeclarationError("messages", "a message is listed twice")
    return tuple(given)


def _version(given: object) -> str:
    if given not in VERSIONS:
        raise DeclarationError("version", f"{given!r} is not a version of HL7 v2", f"one of {', '.join(VERSIONS)}")
    return str(given)


def _groups(given: object) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(given, Mapping):
        raise DeclarationError("groups", "groups is a map", "for example {OBR: [NTE, OBX], OBX: [NTE]}")
    groups: dict[str, tuple[str, ...]] = {}
    for owner, owned in given.items():
        if not isinstance(owned, (list, tuple)) or not owned:
            raise DeclarationError("groups", f"{owner} lists no segments", f"for example {{{owner}: [NTE]}}")
        for name in (owner, *owned):
            _segment_name(name)
        if len(set(owned)) != len(owned):
            raise DeclarationError("groups", f"{owner} lists a segment twice")
        groups[owner] = tuple(owned)
    if repeated := circle(groups):
        raise DeclarationError("groups", f"{repeated} would belong to itself")
    return MappingProxyType(groups)


def _segment_name(name: object) -> None:
    if not isinstance(name, str) or not _SEGMENT.fullmatch(name) or name == "MSH":
        raise DeclarationError("groups", f"{name!r} is not a segment that can belong to another or own one")
    try:
        check_segment(name)
    except PathError as error:
        raise DeclarationError("groups", error.message, error.hint) from None


FORMAT: Final = Hl7v2()
