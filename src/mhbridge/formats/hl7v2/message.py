"""
One HL7 v2 message: segments split once, fields split when a path asks for them, components when a conversion does.

`Message` is the outermost cursor, `Segment` the cursor inside a loop over segments, `Value` the cursor inside a loop
over a field and what every path finds. None of them shows content in its `repr`. Nothing here decodes, waits or decides
what a field means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats.hl7v2.delimiters import DELETE, MAX_DIGITS, Delimiters
from mhbridge.model import Issue, MessageFacts

__all__ = ["Groups", "Links", "Message", "Segment", "Value", "split"]

# Far above what any real message holds (the largest seen in public corpora has 1,100 segments), and low enough that a
# hostile one costs milliseconds. They are checked by counting separators, before anything is taken apart.
MAX_SEGMENTS: Final = 10_000
MAX_FIELDS: Final = 1_000
MAX_REPETITIONS: Final = 1_000
#: Of one repetition; no data type has more than thirty.
MAX_COMPONENTS: Final = 1_000
#: Of one field. A letter in HTML whose ampersands nobody escaped has many of them.
MAX_SUBCOMPONENTS: Final = 10_000
#: Of a whole message, all separators counted. What is looked at one by one takes seconds when there are more.
MAX_PARTS: Final = 200_000

#: Which segments belong to which (mapping language §5.1): owner → owned.
Groups = Mapping[str, tuple[str, ...]]

_NAME: Final = re.compile("[A-Z][A-Z0-9]{2}")
_VERSION: Final = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,2}){1,3}")
#: Names that were judged before. There are 33,696 possible ones, so it stays small whatever is sent.
_NAMES: Final[set[str]] = set()
#: Name and separator → the name, of lines that were judged before.
_STARTS: Final[dict[str, str]] = {}
_MOST_STARTS: Final = 4_096

# How deep inside a field a value is.
_REPETITION: Final = 0
_COMPONENT: Final = 1
_SUBCOMPONENT: Final = 2
_LITERAL: Final = 3


class Value:
    """
    One repetition, component or subcomponent of a field, still encoded.

    Args:
        encoded: the characters as they stand in the message.
        level: 0 a repetition, 1 a component, 2 a subcomponent, 3 a text that is never taken apart (MSH-1, MSH-2).
        repetition: which repetition of its field it is or belongs to, from 0.
    """

    __slots__ = ("_parts", "_plain", "encoded", "level", "repetition", "segment", "taken", "used")

    def __init__(self, encoded: str, segment: Segment, level: int, repetition: int = 0) -> None:
        self.encoded = encoded
        self.segment = segment
        self.level = level
        self.repetition = repetition
        self._parts: list[str] | None = None
        self._plain = False
        #: What a conversion made use of, where finding it out is half of converting.
        self.used: frozenset[str] | None = None
        #: Which of several conversions became of it, where that was tried.
        self.taken: Any = None

    @property
    def text(self) -> str:
        r"""The value as a whole, unescaped, line breaks kept; separators inside it stay the characters they are."""
        if self.encoded == DELETE:
            return ""
        return self.encoded if self.level == _LITERAL else self.segment.delimiters.unescape(self.encoded)

    @property
    def empty(self) -> bool:
        """Nothing is there."""
        return not self.encoded.strip(self.segment.delimiters.blank)

    @property
    def deleted(self) -> bool:
        """The sender wrote `""`: there is no value any more."""
        return self.encoded == DELETE

    @property
    def strange(self) -> bool:
        """There is an escape in it that is none, and so stands in the text as it came."""
        limits = self.segment.delimiters
        return limits.escape_character in self.encoded and self.level != _LITERAL and limits.strange(self.encoded)

    @property
    def components(self) -> int:
        """How many components there are; in a component, how many subcomponents."""
        return len(self._parts or self._split())

    def component(self, number: int, sub: int = 1) -> str:
        """
        The text of one subcomponent of one component; empty when it is missing or deleted.

        A component of a single part is its own first subcomponent. Of a value that is itself a component, the
        components are its subcomponents.
        """
        if number == 1 and self.encoded.isalnum():
            # Nothing separates and nothing is escaped: no delimiter is a letter or a digit.
            return self.encoded if sub == 1 else ""
        parts = self._parts or self._split()
        if number > len(parts):
            return ""
        if self._plain:
            return parts[number - 1] if sub == 1 else ""
        part, limits = parts[number - 1], self.segment.delimiters
        if self.level == _REPETITION and limits.subcomponent in part:
            subs = part.split(limits.subcomponent)
            part = subs[sub - 1] if sub <= len(subs) else ""
        elif sub > 1:
            return ""
        return "" if part == DELETE else limits.unescape(part)

    def texts(self, first: int, last: int) -> list[str]:
        """`component` of each from the first to the last, without the blanks around them."""
        parts = self._parts or self._split()
        if not self._plain:
            return [self.component(number).strip() for number in range(first, last + 1)]
        found = list(map(str.strip, parts[first - 1 : last]))
        missing = last - first + 1 - len(found)
        return found + [""] * missing if missing else found

    def subcomponents(self, number: int) -> list[str]:
        """The texts of all subcomponents of one component; none when it is missing."""
        parts = self._parts or self._split()
        if number > len(parts) or not parts[number - 1]:
            return []
        if self._plain:
            return [parts[number - 1]]
        part, limits = parts[number - 1], self.segment.delimiters
        inner = part.split(limits.subcomponent) if self.level == _REPETITION else [part]
        return ["" if one == DELETE else limits.unescape(one) for one in inner]

    def whole(self, number: int) -> str:
        """The text of one component with its subcomponent separators kept: for types that have no subcomponents."""
        parts = self._parts or self._split()
        part = parts[number - 1] if number <= len(parts) else ""
        return "" if part == DELETE else self.segment.delimiters.unescape(part)

    def field(self, number: int) -> Value | None:
        """The first repetition of another field of the same segment, or `None` when nothing is there."""
        encoded = self.segment.first(number)
        if not encoded.strip(self.segment.delimiters.blank):
            return None
        return Value(encoded, self.segment, self.segment.level(number))

    def says(self, text: str) -> bool:
        """Whether the value, or its first part, is this text (see `Delimiters.says`)."""
        if self.level == _LITERAL:
            return self.encoded == text
        return self.segment.delimiters.says(self.encoded, text)

    def _split(self) -> list[str]:
        limits = self.segment.delimiters
        if self.level == _REPETITION:
            self._parts = self.encoded.split(limits.component)
        elif self.level == _COMPONENT:
            self._parts = self.encoded.split(limits.subcomponent)
        else:
            self._parts = [self.encoded]
        # Nearly every value has nothing in it but text and components: then a component is what stands there.
        encoded = self.encoded
        self._plain = (
            limits.escape_character not in encoded
            and '"' not in encoded
            and (self.level != _REPETITION or limits.subcomponent not in encoded)
        )
        return self._parts


class Segment:
    """
    One segment with its fields. `fields[n]` is field n, still encoded, with all its repetitions.

    Args:
        position: its place in the message, from 0.
    """

    __slots__ = ("delimiters", "fields", "message", "name", "plain", "position")

    def __init__(self, message: Message, position: int, name: str, line: str) -> None:
        self.message = message
        self.position = position
        self.name = name
        self.delimiters = limits = message.delimiters
        self.fields = line.split(limits.field)
        if name == "MSH":
            line = line[len(limits.field.join(self.fields[:2])) :]  # the separators of MSH-2 separate nothing
        #: There are only fields, repetitions and components in it; see `Delimiters.plain`.
        self.plain = limits.plain(line)
        if name == "MSH":
            # The one place of the MSH offset (HL7 v2.5.1 §2.14.9.1): MSH-1 is the separator itself, so splitting at it
            # leaves MSH-2 where field 1 belongs. `level` keeps MSH-1 and MSH-2 whole, as they hold separators.
            self.fields.insert(1, self.delimiters.field)

    def level(self, number: int) -> int:
        """The level of a repetition of a field."""
        return _LITERAL if number < 3 and self.name == "MSH" else _REPETITION

    def repetitions(self, number: int) -> list[str]:
        """The repetitions of a field, encoded; a field that is missing has none."""
        if number >= len(self.fields):
            return []
        field = self.fields[number]
        return [field] if self.level(number) else field.split(self.delimiters.repetition)

    def first(self, number: int) -> str:
        """The first repetition of a field, encoded; empty when it is missing."""
        if number >= len(self.fields):
            return ""
        field = self.fields[number]
        if self.delimiters.repetition not in field or self.level(number):
            return field
        return field.split(self.delimiters.repetition, 1)[0]

    def text(self, number: int, component: int = 0) -> str:
        """The text of a field's first repetition, or of one component of it; empty when missing or deleted."""
        if self.plain and component < 2 and not self.level(number):
            text = self.first(number)
            return text.split(self.delimiters.component, 1)[0] if component else text
        value = Value(self.first(number), self, self.level(number))
        return value.component(component) if component else value.text


_position: Final = attrgetter("position")


class Links:
    """
    Who owns whom in one message under one outline.

    Args:
        segments: all segments, in order.
        owners: for each segment the position of its owner; -1 is the message.
        owned: (position of the owner, name) → the segments that it owns directly, in order.
    """

    __slots__ = ("owned", "owners", "segments")

    def __init__(self, segments: list[Segment], owners: list[int], owned: dict[tuple[int, str], list[Segment]]) -> None:
        self.segments = segments
        self.owners = owners
        self.owned = owned


class Message:
    """
    One parsed message.

    Args:
        lines: the segments, undivided and without blank lines; the first is MSH.
        index: segment name → positions, as `split` gives it.
        body: its bytes as received.
        kind: `ADT^A03`; the event comes from EVN-1 where MSH-9 has none.
        place: where in the envelope, empty when it is alone.
    """

    __slots__ = (
        "_facts",
        "_index",
        "_lines",
        "_links",
        "_named",
        "_places",
        "body",
        "delimiters",
        "kind",
        "place",
        "sayings",
        "sayings_below",
        "told",
        "version",
    )

    def __init__(
        self, lines: Sequence[str], index: dict[str, list[int]], limits: Delimiters, *, body: bytes, place: str = ""
    ) -> None:
        self._lines = lines
        self._index = index
        self._named: dict[str, list[Segment]] = {}
        self._places: dict[str, dict[int, int]] = {}
        self._links: dict[int, Links] = {}
        #: Field and parts → position of a segment → every text that it says there: filled by predicates.
        self.told: dict[tuple[int, ...], dict[int, tuple[str, ...]]] = {}
        #: (segment name, field and parts) → what they say → the segments that say it: filled by predicates.
        self.sayings: dict[tuple[str, tuple[int, ...]], dict[str, list[Segment]]] = {}
        #: The same of the segments that one owns under an outline: (what is asked, position of the owner) → …
        self.sayings_below: dict[tuple[Any, int], dict[str, list[Segment]]] = {}
        self._facts: MessageFacts | None = None
        self.delimiters = limits
        self.body = body
        self.place = place
        header = self.named("MSH")[0]
        parts = header.first(9).split(limits.component)
        kind = limits.unescape(parts[0])
        event = limits.unescape(parts[1]) if len(parts) > 1 else ""
        if not event and (found := self.named("EVN")):
            # Before v2.3 the event could stand in EVN-1 alone.
            event = found[0].text(1, 1)
        self.kind = f"{kind}^{event}" if event else kind
        version = header.first(12).split(limits.component, 1)[0]
        # It is shown to people and in logs, so it is a version or nothing.
        self.version = version if _VERSION.fullmatch(version) else ""

    def named(self, name: str) -> list[Segment]:
        """All segments of a name, in order."""
        found = self._named.get(name)
        if found is None:
            lines = self._lines
            found = self._named[name] = [Segment(self, i, name, lines[i]) for i in self._index.get(name, ())]
        return found

    def segments(self) -> list[Segment]:
        """All segments, in order."""
        every = [segment for name in self._index for segment in self.named(name)]
        every.sort(key=_position)
        return every

    def lines(self) -> list[str]:
        """The segments, undivided."""
        return list(self._lines)

    def name_at(self, position: int) -> str:
        """The name of the segment at a position."""
        return self._lines[position][:3]

    def place_of(self, position: int) -> tuple[str, int, bool]:
        """Of the segment at a position: its name, its place among those of the name, whether it is the only one."""
        name = self._lines[position][:3]
        positions = self._index[name]
        if len(positions) == 1:
            return name, 0, True
        places = self._places.get(name)
        if places is None:
            places = self._places[name] = {one: place for place, one in enumerate(positions)}
        return name, places[position], False

    def lacks(self, names: frozenset[str]) -> bool:
        """Whether it has no segment of these names."""
        return names.isdisjoint(self._index)

    @property
    def names(self) -> list[str]:
        """The names of all segments, in order."""
        found = [""] * len(self._lines)
        for name, positions in self._index.items():
            for position in positions:
                found[position] = name
        return found

    @property
    def facts(self) -> MessageFacts:
        """What the message says about itself; read once."""
        if self._facts is None:
            header = self.named("MSH")[0]
            application, facility = self._plain(header, 3), self._plain(header, 4)
            self._facts = MessageFacts(
                "hl7v2",
                self.kind,
                control_id=self._plain(header, 10),
                sender=f"{application}|{facility}" if application or facility else "",
                sent_at=sent_at if (sent_at := header.text(7, 1)).isprintable() else "",
                version=self.version,
                place=self.place,
                trial=header.text(11, 1) in ("T", "D"),
                sequence=header.text(13, 1),
            )
        return self._facts

    def noted(self, issues: Sequence[Issue]) -> tuple[Issue, ...]:
        """The issues as they are: a path of HL7 v2 is found in the original by itself."""
        return tuple(issues)

    @property
    def patients(self) -> int:
        """
        How many patients the PID segments name. Two with an identifier in common name one; one without any is its own.
        """
        found = self.named("PID")
        if len(found) < 2:
            return len(found)
        people = 0
        # Identifier → another of the same person, in the end that person's first: no two are compared with each other.
        first: dict[str, str] = {}
        for pid in found:
            own = {encoded.rstrip(self.delimiters.separators) for encoded in pid.repetitions(3)} - {"", DELETE}
            known = {_first_of(one, first) for one in own if one in first}
            people += 1 - len(known)
            head = next(iter(known or own), "")
            first.update(dict.fromkeys(known | own, head))
        return people

    @property
    def identities(self) -> tuple[tuple[str, str], ...]:
        """
        The control id, each PID-3 by itself and as `authority|value`, and the visit number, without doubles.
        """
        found: dict[tuple[str, str], None] = {}
        if control_id := self.facts.control_id:
            found["control_id", control_id] = None
        for pid in self.named("PID"):
            for encoded in pid.repetitions(3):
                if pid.plain:
                    parts = encoded.split(self.delimiters.component, 4)
                    value, authority = parts[0], parts[3] if len(parts) > 3 else ""
                else:
                    identifier = Value(encoded, pid, _REPETITION)
                    value, authority = identifier.component(1), identifier.component(4)
                if value:
                    found["patient", value] = None
                    if authority:
                        found["patient", f"{authority}|{value}"] = None
        for visit in self.named("PV1"):
            if number := visit.text(19, 1):
                found["visit", number] = None
        return tuple(found)

    def links(self, groups: Groups) -> Links:
        """Owners under an outline: found on the first question, once per outline."""
        try:
            # By identity: outlines are made once per source and live as long as its mapping.
            return self._links[id(groups)]
        except KeyError:
            found = self._links[id(groups)] = self._link(groups)
            return found

    def _link(self, groups: Groups) -> Links:
        # "A segment belongs to the nearest earlier segment that lists it, otherwise to the message."
        nearest: dict[str, int] = {}
        owners: list[int] = []
        owned: dict[tuple[int, str], list[Segment]] = {}
        order = self.segments()
        for segment in order:
            name = segment.name
            owner = nearest.get(name, -1)
            owners.append(owner)
            key = owner, name
            if key in owned:
                owned[key].append(segment)
            else:
                owned[key] = [segment]
            if name in groups:
                for child in groups[name]:
                    nearest[child] = segment.position
        return Links(order, owners, owned)

    @staticmethod
    def _plain(header: Segment, number: int) -> str:
        # Identifiers go into logs and answers: one that hides a line break in an escape stays escaped.
        text = header.text(number)
        return text if text.isprintable() else header.first(number)


def _first_of(identifier: str, first: dict[str, str]) -> str:
    while (above := first[identifier]) != identifier:
        # What is passed on the way is put nearer to its end.
        first[identifier] = above = first[above]
        identifier = above
    return identifier


def split(text: str, limits: Delimiters) -> tuple[list[str], dict[str, list[int]]]:
    """
    The segments of a message, and where each name stands among them. Segments end with CR, LF or CRLF; blank lines are
    dropped.

    Raises:
        MalformedMessage: M706 for a line that is no segment, M707 for too many of anything.
    """
    if "\n" in text:
        text = text.replace("\r\n", "\r").replace("\n", "\r")
    lines = text.rstrip("\r").split("\r", MAX_SEGMENTS)
    if len(lines) > MAX_SEGMENTS:
        raise MalformedMessage("M707", f"more than {MAX_SEGMENTS} segments")
    if len(text) > MAX_PARTS:
        separators = (limits.field, limits.component, limits.repetition, limits.subcomponent)
        if sum(map(text.count, separators)) > MAX_PARTS:
            raise MalformedMessage("M707", f"more than {MAX_PARTS} fields, components and subcomponents")
    # The name and the separator behind it in one: each pair is judged only once below.
    starts: dict[str, list[int]] = {}
    for at, line in enumerate(lines):
        start = line[:4]
        if start in starts:
            starts[start].append(at)
        else:
            starts[start] = [at]
        if len(line) > MAX_REPETITIONS:
            _within_limits(line, at + 1, limits)
    index: dict[str, list[int]] = {}
    field = limits.field
    for start, positions in starts.items():
        name = _STARTS.get(start)
        if name is None or start[3] != field:
            name = start[:3]
            if (name not in _NAMES and not _is_name(name)) or (start[3:] != field and start != name):
                return _without_blanks(lines, limits)
            if start != name and len(_STARTS) < _MOST_STARTS:
                _STARTS[start] = name
        # Twice where it occurs with and without a separator: `OBX|` and a bare `OBX`.
        index[name] = sorted(index[name] + positions) if name in index else positions
    return lines, index


def _without_blanks(lines: list[str], limits: Delimiters) -> tuple[list[str], dict[str, list[int]]]:
    """Once more, carefully, for a message with blank lines or with a line that is no segment."""
    index: dict[str, list[int]] = {}
    kept: list[str] = []
    for at, line in enumerate(lines):
        if line.strip():
            if not _is_name(line[:3]) or line[3:4] not in ("", limits.field):
                raise MalformedMessage("M706", f"line {at + 1} does not begin with the name of a segment")
            index.setdefault(line[:3], []).append(len(kept))
            kept.append(line)
    return kept, index


def _is_name(name: str) -> bool:
    if _NAME.fullmatch(name) is None:
        return False
    _NAMES.add(name)
    return True


def _within_limits(line: str, number: int, limits: Delimiters) -> None:
    """
    Raises:
        MalformedMessage: M707.
    """
    if line.count(limits.field) > MAX_FIELDS:
        raise MalformedMessage("M707", f"line {number} has more than {MAX_FIELDS} fields")
    # Looked for and counted in the whole line first: fields are only told apart where there could be too many.
    if (
        limits.repetition in line
        and line.count(limits.repetition) >= MAX_REPETITIONS
        and any(field.count(limits.repetition) >= MAX_REPETITIONS for field in line.split(limits.field))
    ):
        raise MalformedMessage("M707", f"line {number} has a field with more than {MAX_REPETITIONS} repetitions")
    if line.count(limits.component) >= MAX_COMPONENTS and any(
        repetition.count(limits.component) >= MAX_COMPONENTS
        for field in line.split(limits.field)
        for repetition in field.split(limits.repetition)
    ):
        raise MalformedMessage("M707", f"line {number} has a field with more than {MAX_COMPONENTS} components")
    if len(line) <= MAX_SUBCOMPONENTS:
        return
    if line.count(limits.subcomponent) >= MAX_SUBCOMPONENTS and any(
        field.count(limits.subcomponent) >= MAX_SUBCOMPONENTS for field in line.split(limits.field)
    ):
        raise MalformedMessage("M707", f"line {number} has a field with more than {MAX_SUBCOMPONENTS} subcomponents")
    if limits.escapes_too_much(line):
        raise MalformedMessage("M707", f"line {number} has an escape with more than {MAX_DIGITS} digits")
