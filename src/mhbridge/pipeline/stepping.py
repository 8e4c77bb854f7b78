"""
The step: reading + known → documents and deliveries, in the patient's order.

Pure: what came before is an argument, and so is the instant. It raises for nothing that a message holds. This module
must never decide what is known, nor what of a series has left: that is the store's to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from mhbridge.fhir.succession import written
from mhbridge.fhir.validate import Validator, default_validator
from mhbridge.mapping.catalogue import SupplierMapping
from mhbridge.mapping.checks import Action
from mhbridge.mapping.known import fold, moment, only, restricts
from mhbridge.mapping.translation import Translation
from mhbridge.model import (
    DELETED,
    NO_LEDGER,
    NOTHING_KNOWN,
    Act,
    Carry,
    Deadline,
    DeliveryState,
    Document,
    Issue,
    Joining,
    Key,
    Known,
    MessageState,
    Outcome,
    Overtaken,
    Past,
    Planned,
    Reading,
    Severity,
    Withdrawal,
)
from mhbridge.pipeline.arriving import Taken
from mhbridge.pipeline.carrying import NOTHING_CARRIED, Carried, overtaken, told_of
from mhbridge.pipeline.clocking import deadlines
from mhbridge.pipeline.naming import series
from mhbridge.pipeline.ordering import folded
from mhbridge.pipeline.routing import Feed, destinations, ends_here
from mhbridge.pipeline.succeeding import (
    WITHDRAWN,
    Replacement,
    not_yet_used,
    replacements,
    series_of,
    told,
    withdrawals,
)
from mhbridge.pipeline.watching import role

__all__ = ["carrying", "needs_known", "needs_past", "serving", "step"]

_CHANGES_NOTHING: Final = Issue(
    "M765", Severity.INFORMATION, "it says nothing that has not been said: nobody is sent it"
)

_WAITS: Final = Issue("M766", Severity.INFORMATION, "something has to come or to end before it: it waits for that")
_CONTRARY: Final = Issue("M768", Severity.ERROR, "it contradicts an earlier merge")
#: What is being sent has mostly come to its end by then.
_LOOK_AGAIN: Final = timedelta(seconds=30)
_HELD: Final = {Action.HOLD: "M745", Action.REFUSE: "M746"}
_CAME_ALONE: Final = Issue("M767", Severity.ERROR, "what it takes back has not come")


def needs_known(reading: Reading) -> bool:
    """
    Whether what came before decides what is sent.

    An event updates what the receiver has, and "empty leaves unchanged" is impossible without memory (gateway design
    §5.3). An authored document says what its author says and nothing else.
    """
    return not reading.authors and reading.patient is not None


def carrying(reading: Reading, feed: Feed) -> Carry | None:
    """What a reading may carry of what the events of its patient said; `None` when nothing."""
    if not reading.authors or reading.patient is None or reading.act not in (Act.NEW, Act.UPDATE):
        return None
    return feed.carries.get(reading.document)


def needs_past(reading: Reading) -> bool:
    """
    Whether the documents that there are of its stay, and what of them may have left, decide what is sent.

    An authored message makes a version that replaces another; a cancellation takes all of them back.
    """
    return reading.patient is not None and (reading.authors or reading.act is Act.CANCEL)


def serving(outcome: Outcome, reading: Reading) -> Mapping[str, Any] | None:
    """
    What of a reading may serve a later message of its patient; `None` when nothing may.

    All of it when the message was worked, or was parked only because the patient's record is restricted: the next
    message, which need not say so again, must find that it is. A message which says of itself that it adds nothing
    (leave), or that a person has still to look at, serves by one thing alone: that it says in so many words that the
    record is restricted, because the strictest sensitivity of any reading holds for all (mapping language §8).

    Of a letter no more serves than is compared with others: what its author wrote is kept nowhere for that.
    """
    if (reading.patient or outcome.patient) is None:
        return None
    # A restricted record may have been parked for more than that: as a trial, or because it names two patients.
    worked = outcome.state is MessageState.DONE or outcome.code == "M740"
    if worked and not reading.parked and reading.act is not Act.NONE:
        return reading.items if reading.serves is None else only(reading.items, reading.serves)
    sensitivity = reading.items.get("sensitivity")
    return {"sensitivity": sensitivity} if isinstance(sensitivity, str) and restricts(sensitivity) else None


def step(
    taken: Taken,
    known: Mapping[str, Known],
    now: datetime,
    feed: Feed,
    *,
    past: Sequence[Past] | None = None,
    worked_at: datetime | None = None,
    validator: Validator | None = None,
    carried: Mapping[str, Carried] | None = None,
) -> Outcome:
    """
    What becomes of one message, in the patient's order.

    Args:
        known: document type → the fold of the patient's readings where `needs_known`, of others what of it is compared;
            under no type, what is known of the patient's sensitivity from all of them.
        now: the instant of receipt; the same for every replay of the message.
        past: which documents of its episodes there are, and what of them may have left; `None`: nobody was asked, so
            that it waits for nothing.
        worked_at: the instant of this step, where that is later: a message does not wait for ever.
        carried: type of a letter → what was said before it of what it may carry (`carrying`).
    """
    carried = carried or {}
    taken = _kept(_parted(taken), feed)
    readings = tuple(reading for _, reading in taken.readings)
    first = readings[0] if readings else None
    outcome = partial(
        Outcome,
        facts=taken.facts,
        state=MessageState.PARKED,
        code=taken.parked,
        issues=taken.issues,
        readings=readings,
        patient=first.patient if first else None,
        episode=first.episode if first else "",
        occurred_at=first.effective_at if first else "",
        ledger=taken.ledger,
        past=told(past) if past else (),
        watched=_watched(taken, feed),
    )
    if taken.parked:
        # Whatever is wrong with it, the patient has left, and time goes by.
        return outcome(deadlines=deadlines(taken, known, now, feed))
    if all(reading.act is Act.NONE for reading in readings):
        return outcome(state=MessageState.FILTERED, code="M730")
    waiting = None if past is None else _waiting(taken, known, past, now)
    if waiting is not None:
        if (worked_at or now) < waiting:
            issues = (*taken.issues, _WAITS)
            return outcome(state=MessageState.HELD, code="M766", issues=issues, due_at=waiting)
        return outcome(code="M767", issues=(*taken.issues, _CAME_ALONE))
    joinings = [one.joining for one in past or () if one.joining is not None]
    if any(one.contrary for one in joinings):
        return outcome(code="M768", issues=(*taken.issues, _CONTRARY))
    # A merge that is done already, and an undoing of none, change nothing.
    joinings = [one for one in joinings if one.joined == one.undone]
    if any(one.busy for one in joinings):
        due_at = (worked_at or now) + _LOOK_AGAIN
        waits = outcome(state=MessageState.HELD, code="M766", issues=(*taken.issues, _WAITS), due_at=due_at)
        if any(one.undone for one in joinings):
            return waits
        # What comes later of either patient comes behind it: it keeps its place, and is not stood aside.
        bare = tuple(replace(reading, items={}, issues=(), ledger=NO_LEDGER, written=b"") for reading in readings)
        return replace(waits, state=MessageState.STORED, code="", readings=bare, ledger=NO_LEDGER, deadlines=())
    if any(one.undone for one in joinings):
        # What is known of both no longer holds: it is worked when they are parted.
        bare = tuple(replace(reading, items={}, issues=(), ledger=NO_LEDGER, written=b"") for reading in readings)
        return outcome(
            state=MessageState.STORED, code="", issues=(), readings=bare, ledger=NO_LEDGER, merges=tuple(joinings)
        )
    making = _Making(now, feed, validator or default_validator(), past or ())
    for at, (mapping, reading) in enumerate(taken.readings):
        if reading.act is Act.NONE:
            continue
        before = known.get(reading.document, NOTHING_KNOWN)
        # The strictest sensitivity of any reading holds for all (mapping language §8): what is only known now of a
        # restricted patient is withheld too.
        before_it = any(mapping.restricts(earlier.items) for earlier in known.values())
        restricted = reading.restricted or before_it
        if restricted and not before_it:
            making.restricts(reading)
        if restricted:
            # It serves later messages as one does that says so itself.
            hidden = replace(reading, items=mapping.withheld(reading.items), restricted=True, written=b"")
            readings = (*readings[:at], hidden, *readings[at + 1 :])
        making.add(mapping, reading, before, carried.get(reading.document, NOTHING_CARRIED), restricted=restricted)
    return making.outcome(
        partial(outcome, readings=readings), taken, tuple(joinings), deadlines(taken, known, now, feed)
    )


def _watched(taken: Taken, feed: Feed) -> int:
    """What the message may be to a watch."""
    found = 0
    for mapping, reading in taken.readings if feed.looks else ():
        if reading.patient is not None:
            found |= role(feed.looks, mapping, reading)
    return found


def _kept(taken: Taken, feed: Feed) -> Taken:
    """Of a letter that a watch looks at, what it looks at serves, too."""
    if all(reading.serves is None or reading.document not in feed.looks for _, reading in taken.readings):
        return taken
    return replace(taken, readings=tuple([(mapping, _serving_looks(one, feed)) for mapping, one in taken.readings]))


def _serving_looks(reading: Reading, feed: Feed) -> Reading:
    if reading.serves is None or reading.document not in feed.looks:
        return reading
    needs = {name for _, look in feed.looks[reading.document] for name in look.look.needs}
    return replace(reading, serves=(*reading.serves, *sorted(needs.difference(reading.serves))))


def _parted(taken: Taken) -> Taken:
    """Where a merge is undone, what is said of the patient says that nobody is merged any more."""
    if all(reading.act is not Act.UNLINK for _, reading in taken.readings):
        return taken
    return replace(
        taken,
        readings=tuple(
            (mapping, replace(reading, items={**reading.items, "merged_from": DELETED}, written=b""))
            for mapping, reading in taken.readings
        ),
    )


def _waiting(taken: Taken, known: Mapping[str, Known], past: Sequence[Past], now: datetime) -> datetime | None:
    """
    Until when a message waits that has overtaken the one it speaks of; `None`: it has not.

    A letter of which nothing is known cannot be taken back, and to say so to everybody would be news of it: where
    its pack gives it no time to come, a person looks at once.
    What is taken back may be known by a document that is there, too, where nobody sends the events of a stay.
    """
    if any(one.series for one in past):
        return None
    for mapping, reading in taken.readings:
        waits = [wait for wait in mapping.document.waits if reading.items.get(wait.item) == wait.value]
        if reading.authors and reading.act is Act.CANCEL:
            return now + timedelta(minutes=max((wait.minutes for wait in waits if wait.for_version), default=0))
        before = known.get(reading.document, NOTHING_KNOWN)
        for wait in waits:
            if wait.for_version:
                continue
            earlier = fold([before.items, *(one.items for one in before.later)])
            # It may say again what was taken back already.
            if wait.needs not in earlier and earlier.get(wait.item) != wait.value:
                return now + timedelta(minutes=wait.minutes)
    return None


class _Making:
    """What is made of one message, gathered reading by reading."""

    def __init__(self, now: datetime, feed: Feed, validator: Validator, past: Sequence[Past]) -> None:
        self._now, self._feed, self._validator, self._past = now, feed, validator, past
        self._documents: list[Document] = []
        self._deliveries: list[Planned] = []
        self._withdrawals: list[Withdrawal] = []
        self._issues: list[Issue] = []
        self._unwritten: list[str] = []
        self._overtaken: list[Overtaken] = []
        self._kept_back: list[Withdrawal] = []
        self._code = ""
        self._nothing_new = False
        #: Of whose documents those that left are taken back.
        self._withdrawn: set[tuple[Key | None, str]] = set()

    def add(
        self, mapping: SupplierMapping, reading: Reading, before: Known, carried: Carried, *, restricted: bool
    ) -> None:
        """Make what one reading, with what is known before it, makes."""
        if reading.act is Act.CANCEL and self._withdraw(reading) and reading.authors:
            return
        self._issues += _said_otherwise(mapping, reading, before)
        items = folded(before, reading.items, mapping.document.identifies) if needs_known(reading) else reading.items
        if reading.act is not Act.CANCEL and (self._feed.carries or self._feed.stale):
            had = items if reading.authors else before.items
            if before.later:
                had = fold([had, *(one.items for one in before.later)])
            self._overtaken += overtaken(reading, had, items, self._now, self._feed.carries, self._feed.stale)
        filling = carried.filling(mapping.document, items) if carried.items and not needs_known(reading) else carried
        if filling.items:
            items = {**items, **filling.items}
        if restricted:
            items = mapping.withheld(items)
            filling = filling.less(items)
        self._issues += told_of(filling)
        to = destinations(mapping, reading, items, self._feed, self._now)
        self._nothing_new |= not to and ends_here(mapping, reading, items, self._feed, self._now)
        if restricted:
            to, self._code = (), self._code or "M740"
            if reading.authors:
                self._keep_back(reading)  # that it is restricted has become known since
        targets = self._feed.targets
        for target in sorted({targets.get(name, "r4") for name in to} or {"r4"}):
            theirs = tuple([name for name in to if targets.get(name, "r4") == target])
            translation = mapping.build(reading, items, self._now, target, filling.recorded)
            if translation.kind == "document":
                self._add_version(mapping, reading, items, translation, theirs, before.digest, filling)
            elif before.later and not restricted and _changes_nothing(translation, mapping, reading, before, self._now):
                self._nothing_new = True
                self._issues.append(_CHANGES_NOTHING)
            else:
                self._check(translation)
                document = Document(
                    reading.document, target, translation.kind, series(reading), translation.identifier,
                    translation.json(), known=before.digest, episode=reading.episode,
                )  # fmt: skip
                self._plan(document, theirs)
        if reading.authors and reading.act in (Act.NEW, Act.UPDATE):
            for extract in self._feed.extracts.get(mapping.name, ()):
                self._add_extract(extract, mapping, reading, items, before.digest, filling, restricted=restricted)

    def _add_extract(
        self,
        extract: SupplierMapping,
        mapping: SupplierMapping,
        reading: Reading,
        items: Mapping[str, Any],
        known: bytes,
        carried: Carried,
        *,
        restricted: bool,
    ) -> None:
        """What is made beside a letter, for who does not get the letter. It is routed by what the letter says."""
        part, taken = extract.extracted(reading, items, mapping.document)
        to = destinations(mapping, reading, items, self._feed, self._now, document=part.document)
        if restricted:
            self._keep_back(part)
        elif to:
            targets = self._feed.targets
            for target in sorted({targets.get(name, "r4") for name in to}):
                theirs = tuple([name for name in to if targets.get(name, "r4") == target])
                translation = extract.build(part, taken, self._now, target, carried.recorded)
                self._add_version(extract, part, taken, translation, theirs, known, carried)

    def _keep_back(self, reading: Reading) -> None:
        """What of a series was on its way does not leave any more."""
        earlier = series_of(self._past, reading)
        sent = [one for version in (earlier.versions if earlier else ()) for one in version.sent]
        self._kept_back += [Withdrawal(one.delivery, DeliveryState.CANCELLED) for one in sent if one.waits]

    def restricts(self, reading: Reading) -> None:
        """That the patient's record is restricted is said for the first time: it holds for letters on their way."""
        if reading.patient is not None and not reading.authors:
            letters = {one.document.name for one in self._feed.mappings if one.file.authors} | self._feed.carries.keys()
            self._overtaken += [Overtaken(reading.patient, "", name, "now") for name in sorted(letters)]

    def _add_version(
        self,
        mapping: SupplierMapping,
        reading: Reading,
        items: Mapping[str, Any],
        translation: Translation,
        to: tuple[str, ...],
        known: bytes,
        carried: Carried,
    ) -> None:
        if reading.authors and reading.act in (Act.NEW, Act.UPDATE):
            self._check_safety(mapping, reading, items)
        earlier = series_of(self._past, reading)
        body, says = written(translation.resource)
        again = 1
        while not not_yet_used(earlier, translation.identifier):
            # The sender used its number before, or the mapping was mended: another version, so another name.
            again += 1
            facts = replace(reading.facts, control_id=f"{reading.facts.control_id}/{again}")
            renamed = replace(reading, facts=facts)
            translation = mapping.build(renamed, items, self._now, translation.target, carried.recorded)
            body = translation.json()
        self._check(translation)
        name = earlier.name if earlier else series(reading)
        document = Document(
            reading.document, translation.target, translation.kind, name, translation.identifier, body,
            status=WITHDRAWN if reading.act is Act.CANCEL else "final", content=says,
            known=known + carried.digest, episode=reading.episode,
        )  # fmt: skip
        made = list(replacements(document, translation.resource, to, earlier))
        for one in made:
            self._replace(one)
        if not made and mapping.document.takes:
            return  # nothing new for who gets that; there may be for who gets the letter
        if not made:
            self._nothing_new = True
            self._issues.append(_CHANGES_NOTHING)

    def _withdraw(self, reading: Reading) -> bool:
        """Take back the documents of its episode. Whether there are any."""
        episode = reading.patient, reading.episode
        if episode in self._withdrawn:
            return True
        self._withdrawn.add(episode)
        try:
            for one, resource in withdrawals(self._past, reading, self._now):
                if resource:
                    self._issues += self._validated(resource)
                self._replace(one)
        except LookupError:
            self._code = "M744"
            self._issues.append(
                Issue("M744", Severity.ERROR, "a document that has left cannot be taken back by itself")
            )
        return any(one.series for one in self._past)

    def _replace(self, one: Replacement) -> None:
        self._withdrawals += one.withdrawals
        if one.document is not None:
            self._plan(one.document, one.to)

    def _plan(self, document: Document, to: tuple[str, ...]) -> None:
        self._documents.append(document)
        self._deliveries += [Planned(len(self._documents) - 1, name, self._feed.needs.get(name, 2)) for name in to]

    def _check_safety(self, mapping: SupplierMapping, reading: Reading, items: Mapping[str, Any]) -> None:
        issues, action = mapping.checked(reading, items, self._now)
        self._issues += issues
        if action in _HELD:
            self._code = _HELD[action]

    def _check(self, translation: Translation) -> None:
        self._issues += [*translation.issues, *self._validated(translation.resource)]
        self._unwritten += [f"{translation.target}: {name}" for name in translation.not_written]

    def _validated(self, resource: Mapping[str, Any]) -> Sequence[Issue]:
        found = self._validator(resource)
        if any(issue.severity is Severity.ERROR for issue in found):
            self._code = "M750"
        return found

    def outcome(
        self, outcome: partial[Outcome], taken: Taken, merges: tuple[Joining, ...], clocks: tuple[Deadline, ...]
    ) -> Outcome:
        """All of it. Where a person has to look, nothing leaves; the documents are kept for that."""
        ledger = taken.ledger
        if self._unwritten:
            ledger = replace(ledger, not_written=tuple(dict.fromkeys(self._unwritten)))
        code = self._code
        if not code and not self._deliveries and self._feed.routes and not self._nothing_new:
            code = "M741"
        return outcome(
            state=MessageState.PARKED if code else MessageState.DONE,
            code=code,
            issues=tuple(dict.fromkeys([*taken.issues, *self._issues])),
            documents=tuple(self._documents),
            deliveries=() if code else tuple(self._deliveries),
            withdrawals=tuple(self._kept_back if code == "M740" else () if code else self._withdrawals),
            merges=() if code else merges,
            overtaken=tuple(self._overtaken) if code in ("", "M740") else (),
            deadlines=clocks,
            ledger=ledger,
        )


def _said_otherwise(mapping: SupplierMapping, reading: Reading, before: Known) -> list[Issue]:
    """What there is to say of instants that were said before, and are another now."""
    found = []
    for name, minutes in mapping.document.settled.items():
        had, has = before.items.get(name), reading.items.get(name)
        if not isinstance(had, str) or not isinstance(has, str):
            continue
        then, now = moment(had), moment(has)
        if then is not None and now is not None and abs(now - then) > minutes * 60_000_000:
            text = f"this differs by more than {minutes} minutes from what was said before of the same stay"
            found.append(Issue("M769", Severity.WARNING, text, item=name))
    return found


def _changes_nothing(
    translation: Translation, mapping: SupplierMapping, reading: Reading, before: Known, now: datetime
) -> bool:
    """
    Whether a message that came late says only what newer ones have said since: then it is noted and nothing leaves.

    What the receiver has is the fold of all messages before this one, so that is what it is compared with.
    """
    without = fold([before.items, *(one.items for one in before.later)])
    had = mapping.build(reading, without, now, translation.target)
    return bool(had.resource["entry"] == translation.resource["entry"])
