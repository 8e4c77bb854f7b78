"""
What is made of a message: versions of documents, deliveries, withdrawals, and what is said about them.

Pure, as the step is that asks for it. This module must never decide whether a message is worked, nor in which order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from mhbridge.fhir.succession import written
from mhbridge.fhir.validate import Validator
from mhbridge.mapping.catalogue import SupplierMapping
from mhbridge.mapping.checks import Action
from mhbridge.mapping.known import fold, moment
from mhbridge.mapping.translation import Translation
from mhbridge.model import (
    Act,
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
from mhbridge.pipeline.carrying import Carried, overtaken, told_of
from mhbridge.pipeline.naming import series
from mhbridge.pipeline.ordering import folded, needs_known
from mhbridge.pipeline.routing import Feed, destinations, ends_here
from mhbridge.pipeline.succeeding import (
    WITHDRAWN,
    Replacement,
    not_yet_used,
    replacements,
    series_of,
    withdrawals,
)

__all__ = ["Making"]

_CHANGES_NOTHING: Final = Issue(
    "M765", Severity.INFORMATION, "it says nothing that has not been said: nobody is sent it"
)
_HELD: Final = {Action.HOLD: "M745", Action.REFUSE: "M746"}


class Making:
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
