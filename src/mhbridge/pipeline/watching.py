"""
What is to be told of a patient, as all that was said of them says it: a death after a discharge, an admission.

Like a clock, it is computed and not commanded. What ought to be told is worked out from everything that is known of a
person, and compared with what was told: where it differs, a message of our own says it anew or takes it back. So late
messages, merges and cancellations need no code of their own. Which records are one person's, `persons` says. Pure. This
module must never tell what was told already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import orjson

from mhbridge.fhir.bundle import full_url, resource_id
from mhbridge.mapping.translation import identity_text
from mhbridge.mapping.watches import ReadyLook, ReadyWatch
from mhbridge.model import MessageFacts, Reading, State
from mhbridge.pipeline.persons import Heard, Person, Told, folded, joined

if TYPE_CHECKING:
    from mhbridge.mapping.catalogue import SupplierMapping
    from mhbridge.pipeline.routing import Feed

__all__ = [
    "ELSEWHERE",
    "MORE",
    "SIGNAL",
    "STAY",
    "Active",
    "Notice",
    "active",
    "looks_of",
    "may_meet",
    "notices",
    "role",
]

#: What a reading may be to a watch: of a stay; a signal, whoever hears it; one that tells only other senders something;
#: and what by itself is none of these, but may change what is told, or of whom.
STAY: Final = 1
SIGNAL: Final = 2
ELSEWHERE: Final = 4
MORE: Final = 8

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Lines of a record: a stay has some tens at most.
_LINES: Final = 200


@dataclass(frozen=True, slots=True)
class Notice:
    """What ought to be told, as a message of our own for this feed, and what is to be remembered of it."""

    feed: str
    told: Told
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Active:
    """A watch of a supplier: the feed and the mapping of the messages that tell of it."""

    feed: str
    mapping: SupplierMapping
    watch: ReadyWatch


class _Stay(NamedTuple):
    """A stay of somebody."""

    text: str
    episode: bytes
    begins: datetime | None
    ends: datetime | None
    ends_open: bool
    items: Mapping[str, Any]


class _Signal(NamedTuple):
    """A signal; `true`: that it says so; `untrue`: that it says in so many words that there is none."""

    subject: bytes
    true: bool
    untrue: bool
    at: datetime | None
    heard_at: datetime
    whole_day: bool
    supplier: str
    document: str
    items: Mapping[str, Any]


def active(feeds: Mapping[str, Feed]) -> tuple[Active, ...]:
    """The watches of the feeds in force."""
    return tuple(
        Active(feed.name, mapping, watch)
        for feed in feeds.values()
        for watch in feed.watches
        for mapping in feed.mappings
    )


def looks_of(watches: Iterable[ReadyWatch]) -> dict[str, list[tuple[int, ReadyLook]]]:
    """Document type → what its messages may be to any of these."""
    found: dict[str, list[tuple[int, ReadyLook]]] = {}
    for watch in watches:
        for look in watch.stays:
            found.setdefault(look.look.document, []).append((STAY, look))
        for look in watch.contacts:
            found.setdefault(look.look.document, []).append((MORE, look))
        for look in watch.signals:
            kind = ELSEWHERE if look.look.others else SIGNAL
            found.setdefault(look.look.document, []).append((kind, look))
    return found


def role(looks: Mapping[str, Sequence[tuple[int, ReadyLook]]], mapping: SupplierMapping, reading: Reading) -> int:
    """
    What a reading may be to any watch that there is: `STAY`, `SIGNAL`, `ELSEWHERE` and `MORE`, added; 0: nothing.

    One that cannot make a signal so may make it so no more, and its NHS number may join two records.
    """
    found = 0
    run = None
    for kind, look in looks.get(reading.document, ()):
        if kind == STAY:
            found |= STAY
        elif kind & ~found:
            run = run or mapping.run(reading.facts, _EPOCH)
            found |= kind if kind != MORE and look.may_say(reading.items, run) else MORE
    return found


def may_meet(heard: Iterable[tuple[str, int]]) -> bool:
    """
    Whether anything may be to be told of a person, by what the readings of each record have been (`role`) so far.

    It cannot miss anything. What is told is told of a stay that a watch's own supplier has said, and because of a
    signal. Readings of a signal say so together only where one of them may by itself (`ReadyLook.may_say`), which its
    record then has as `SIGNAL`, or as `ELSEWHERE` where only what other suppliers say counts: a death and that it is
    `removed` are the former, an admission to another hospital is the latter. So without a `STAY`, and without a
    `SIGNAL` or an `ELSEWHERE` of another sender than one of the stays, no signal is so. What was heard of a record is
    never taken from it, and what was told before was told because of it: so nothing is withheld that was to be taken
    back. What is said of contacts, and by whom, only changes what is told.

    Args:
        heard: of each record, by whom its readings were sent, and what they were; nobody, "": by several senders.
    """
    seen = 0
    stays, elsewhere = set[str](), set[str]()
    for sender, one in heard:
        seen |= one
        if one & STAY:
            stays.add(sender)
        if one & ELSEWHERE:
            elsewhere.add(sender)
    if not stays or not seen & (SIGNAL | ELSEWHERE):
        return False
    both = stays | elsewhere
    return bool(seen & SIGNAL) or (bool(elsewhere) and (len(both) > 1 or "" in both))


def notices(active: Iterable[Active], person: Person, at: datetime) -> list[Notice]:
    """
    What is to be told that was not told before, or was told otherwise.

    Args:
        at: the instant of what was heard last, not the wall clock's, so that the message is the same again.
    """
    return [notice for one in active for notice in _Watching(one, person, at).notices()]


class _Watching:
    """One watch of one supplier, over one person."""

    def __init__(self, active: Active, person: Person, at: datetime) -> None:
        self._active = active
        self._rule = active.watch.rule
        self._person = person
        self._at = at
        self._run = active.mapping.run(MessageFacts("", ""), at)
        self._zone = ZoneInfo(active.mapping.source.timezone)
        self._supplier = active.mapping.supplier.name

    def notices(self) -> Iterator[Notice]:
        stays = {look.look.document for look in self._active.watch.stays}
        holders = {
            one.patient for one in self._person.heard if one.supplier == self._supplier and one.document in stays
        }
        for patient in sorted(holders):
            yield from self._of(patient)

    def _of(self, patient: int) -> Iterator[Notice]:
        heard = [one for one in self._person.heard if one.patient == patient]
        told = {one.subject: one for one in self._person.told if (one.patient, one.watch) == (patient, self._rule.name)}
        stays = self._stays(heard)
        contacts = list(self._contacts(heard))
        for signal in self._signals(patient, heard):
            before = told.get(signal.subject)
            stay = self._matching(stays, signal) if signal.true else None
            if stay is None:
                if before is not None and before.said:
                    yield self._notice(patient, heard, signal, None, contacts, before, b"")
                continue
            if before is None and self._is_forgotten(signal):
                continue
            said = sha256(_dumps([_plain(stay.items), _plain(signal.items), signal.at, contacts])).digest()
            if before is None or before.said != said:
                yield self._notice(patient, heard, signal, stay, contacts, before, said)

    # -- stays ------------------------------------------------------------------------------------------------

    def _stays(self, heard: Sequence[Heard]) -> list[_Stay]:
        found = []
        for episode in dict.fromkeys(one.episode for one in heard):
            stay = self._stay(episode, [one for one in heard if one.episode == episode])
            if stay is not None:
                found.append(stay)
        return found

    def _stay(self, episode: bytes, heard: Sequence[Heard]) -> _Stay | None:
        """A stay, as the first type says it that says anything; what that leaves out, the others say."""
        begins = ends = None
        told: dict[str, Any] = {}
        text, counts, is_open = "", False, False
        for look in self._active.watch.stays:
            items = folded(one for one in heard if one.document == look.look.document)
            if not items:
                continue
            if look.is_untrue(items, self._run):
                return None
            if not look.holds(items, self._run):
                continue
            counts = True
            is_open = is_open or look.look.open
            begins = begins or look.instant(look.begins, items, self._run, self._zone)
            ends = ends or look.instant(look.ends, items, self._run, self._zone)
            text = text or "|".join(filter(None, (identity_text(items.get(n)) for n in _own(look.look.identity))))
            told = {**_taken(items, look.look.tells), **told}
        return _Stay(text, episode, begins, ends, is_open, told) if counts else None

    def _matching(self, stays: Sequence[_Stay], signal: _Signal) -> _Stay | None:
        """The stay that ended last before the signal; else one that had not ended."""
        at = signal.at or signal.heard_at
        ended = [one for one in stays if one.ends is not None and self._is_after(one.ends, at, signal.whole_day)]
        if ended:
            return max(ended, key=lambda one: (one.ends or _EPOCH, one.text))
        running = [
            one
            for one in stays
            if one.ends_open
            and one.begins is not None
            and (one.ends is None or one.ends > at)
            and self._day(one.begins) <= at
        ]
        return max(running, key=lambda one: (one.begins or _EPOCH, one.text), default=None)

    def _is_after(self, ends: datetime, at: datetime, whole_day: bool) -> bool:
        """Whether a signal is within the time after a stay. Of a day alone, any hour of it may be meant."""
        return (self._day(ends) if whole_day else ends) <= at <= self._rule.within.after(ends, self._zone)

    def _day(self, at: datetime) -> datetime:
        return at.astimezone(self._zone).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)

    def _is_forgotten(self, signal: _Signal) -> bool:
        after, at = self._rule.forgotten_after, signal.at or signal.heard_at
        return after is not None and self._at > after.after(at, self._zone)

    # -- signals ----------------------------------------------------------------------------------------------

    def _signals(self, patient: int, mine: Sequence[Heard]) -> list[_Signal]:
        """What was heard. Of signals that are of the whole patient, the first type that says anything decides."""
        watch = self._active.watch
        all_of_them = [*mine, *joined(self._person, patient, mine, lambda items: watch.is_verified(items, self._run))]
        found: list[_Signal] = []
        decided: _Signal | None = None
        is_decided = False
        for look in self._active.watch.signals:
            theirs = [one for one in all_of_them if one.document == look.look.document]
            if look.look.others:
                theirs = [one for one in theirs if one.supplier != self._supplier]
            groups: dict[tuple[int, bytes], list[Heard]] = {}
            for one in sorted(theirs, key=lambda one: one.place):
                groups.setdefault((one.patient, b"" if look.look.whole else one.episode), []).append(one)
            said = [signal for group in groups.values() if (signal := self._signal(look, group)) is not None]
            if not look.look.whole:
                # Of one attendance a hospital may send events and a letter.
                there = {signal.subject for signal in found if signal.true or signal.untrue}
                found = [
                    *(one for one in found if one.subject in there),
                    *(one for one in said if one.subject not in there),
                ]
            elif said and not is_decided:
                newest = max(said, key=lambda one: (one.untrue, one.true, one.heard_at))
                is_decided = newest.true or newest.untrue
                decided = newest if is_decided or decided is None else decided
        return found if decided is None else [*found, decided]

    def _signal(self, look: ReadyLook, group: Sequence[Heard]) -> _Signal | None:
        says = [one for one in group if not look.look.reads.isdisjoint(one.items)]
        if not says:
            return None
        items = folded(group)
        # Where nobody says when it was, it was by the time that somebody first said it.
        first = next((one for one in says if look.holds(one.items, self._run)), says[0])
        heard_at = _EPOCH + timedelta(microseconds=first.place[0])
        subject = b""
        if not look.look.whole:
            text = "|".join(filter(None, (identity_text(items.get(name)) for name in _own(look.look.identity))))
            subject = sha256(f"{group[0].supplier}|{text}".encode()).digest()
        untrue = look.is_untrue(items, self._run)
        value = None if look.at is None else look.at(items, None, self._run, None, 0)
        return _Signal(
            subject,
            look.holds(items, self._run) and not untrue,
            untrue,
            look.instant(look.at, items, self._run, self._zone),
            heard_at,
            isinstance(value, str) and "T" not in value,
            group[0].supplier,
            look.look.document,
            _taken(items, look.look.tells),
        )

    # -- what is told -----------------------------------------------------------------------------------------

    def _contacts(self, heard: Sequence[Heard]) -> Iterator[dict[str, Any]]:
        for look in self._active.watch.contacts:
            theirs = [one for one in heard if one.document == look.look.document]
            for episode in dict.fromkeys(one.episode for one in theirs):
                items = folded(one for one in theirs if one.episode == episode)
                at = look.instant(look.at, items, self._run, self._zone)
                if at is not None and look.holds(items, self._run):
                    told = _taken(items, look.look.tells)
                    yield {"at": _text(at), "what": "contact", "name": look.look.document, "items": _plain(told)}

    def _notice(
        self,
        patient: int,
        heard: Sequence[Heard],
        signal: _Signal,
        stay: _Stay | None,
        contacts: Sequence[Mapping[str, Any]],
        before: Told | None,
        said: bytes,
    ) -> Notice:
        number = 1 if before is None else before.number + 1
        own = [one for one in heard if one.own] or list(heard)
        key = folded(own).get("patient_key")
        name = self._rule.name
        whose = key if isinstance(key, Mapping) else {}
        record = resource_id(
            self._supplier, str(whose.get("system")), str(whose.get("value")), name, signal.subject.hex()
        )
        # Who the patient is is also said of what is taken back.
        of = {n for look in self._active.watch.stays for n in look.look.tells}
        stay_items = stay.items if stay is not None else _taken(folded(heard), sorted(of))
        body = {
            "watch": name,
            "id": f"{record}-{number}",
            "act": "new" if stay is not None else "cancel",
            "at": _text(self._at),
            "patient": whose,
            "record": full_url(record),
            "stay": {**_plain(stay_items), **({"open": stay.ends is None} if stay is not None else {})},
            "signal": {
                **_plain(signal.items),
                "document": signal.document,
                "at": _text(signal.at or signal.heard_at),
                "dated": signal.at is not None,
                "own": signal.supplier == self._supplier,
            },
            "timeline": [] if stay is None else self._timeline(patient, stay, contacts),
        }
        return Notice(self._active.feed, Told(patient, name, signal.subject, number, said), _dumps(body))

    def _timeline(self, patient: int, stay: _Stay, contacts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """What was sent, acknowledged and missed of the stay, and who was in contact since, by time."""
        lines: list[Mapping[str, Any]] = [
            {
                "at": None if one.at is None else _text(one.at),
                "what": one.what,
                "name": one.name,
                "who": one.who,
                "state": one.state,
            }
            for one in self._person.trail
            if (one.patient, one.episode) == (patient, stay.episode)
        ]
        since = _text(stay.ends or stay.begins or _EPOCH)
        lines += [one for one in contacts if one["at"] >= since]
        return sorted(lines, key=lambda line: (line["at"] is None, line["at"] or "", str(line["what"])))[:_LINES]


def _own(identity: Sequence[str]) -> list[str]:
    """The items that name the stay, beside the patient."""
    return [name for name in identity if name != "patient_key"] or list(identity)


def _taken(items: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: items[name] for name in names if name in items and not isinstance(items[name], State)}


def _plain(items: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = orjson.loads(_dumps(items))
    return plain


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, default=_written, option=orjson.OPT_SORT_KEYS)


def _written(value: Any) -> Any:
    if isinstance(value, State):
        return None
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
