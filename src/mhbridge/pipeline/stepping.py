"""
The step: reading + known → documents and deliveries, in the patient's order.

Pure: what came before is an argument, and so is the instant. It raises for nothing that a message holds. This module
must never decide what is known, nor what of a series has left: that is the store's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from mhbridge.fhir.validate import Validator, default_validator
from mhbridge.mapping.catalogue import SupplierMapping
from mhbridge.mapping.known import fold, restricts
from mhbridge.mapping.translation import Translation
from mhbridge.model import NOTHING_KNOWN, Act, Document, Issue, Known, MessageState, Outcome, Planned, Reading, Severity
from mhbridge.pipeline.arriving import Taken
from mhbridge.pipeline.naming import series
from mhbridge.pipeline.ordering import folded
from mhbridge.pipeline.routing import Feed, destinations

__all__ = ["needs_known", "serving", "step"]

_CHANGES_NOTHING: Final = Issue(
    "M765", Severity.INFORMATION, "it came late, and newer messages have said since whatever it would change"
)


def needs_known(reading: Reading) -> bool:
    """
    Whether what came before decides what is sent.

    An event updates what the receiver has, and "empty leaves unchanged" is impossible without memory (gateway design
    §5.3). An authored document says what its author says and nothing else.
    """
    return not reading.authors and reading.patient is not None


def serving(outcome: Outcome, reading: Reading) -> Mapping[str, Any] | None:
    """
    What of a reading may serve a later message of its patient; `None` when nothing may.

    All of it when the message was worked, or was parked only because the patient's record is restricted: the next
    message, which need not say so again, must find that it is. A message which says of itself that it adds nothing
    (leave), or that a person has still to look at, serves by one thing alone: that it says in so many words that the
    record is restricted, because the strictest sensitivity of any reading holds for all (mapping language §8).
    """
    if (reading.patient or outcome.patient) is None:
        return None
    # A restricted record may have been parked for more than that: as a trial, or because it names two patients.
    worked = outcome.state is MessageState.DONE or outcome.code == "M740"
    if worked and not reading.parked and reading.act is not Act.NONE:
        return reading.items
    sensitivity = reading.items.get("sensitivity")
    return {"sensitivity": sensitivity} if isinstance(sensitivity, str) and restricts(sensitivity) else None


def step(
    taken: Taken,
    known: Mapping[str, Known],
    now: datetime,
    feed: Feed,
    *,
    validator: Validator | None = None,
) -> Outcome:
    """
    What becomes of one message, in the patient's order.

    Args:
        known: document type → the fold of the patient's earlier readings where `needs_known`; under no type, what
            is known of the patient's sensitivity from all of them.
        now: the instant of receipt; the same for every replay of the message.
    """
    validator = validator or default_validator()
    readings = tuple(reading for _, reading in taken.readings)
    first = readings[0] if readings else None
    base = Outcome(
        facts=taken.facts,
        state=MessageState.PARKED,
        code=taken.parked,
        issues=taken.issues,
        readings=readings,
        patient=first.patient if first else None,
        episode=first.episode if first else "",
        occurred_at=first.effective_at if first else "",
        ledger=taken.ledger,
    )
    if taken.parked:
        return base
    if all(reading.act is Act.NONE for reading in readings):
        return _with(base, MessageState.FILTERED, "M730")
    documents: list[Document] = []
    deliveries: list[Planned] = []
    issues: list[Issue] = []
    unwritten: list[str] = []
    code = ""
    for at, (mapping, reading) in enumerate(taken.readings):
        if reading.act is Act.NONE:
            continue
        before = known.get(reading.document, NOTHING_KNOWN)
        items = folded(before, reading.items) if needs_known(reading) else reading.items
        # The strictest sensitivity of any reading holds for all (mapping language §8): what is only known now of a
        # restricted patient is withheld too.
        restricted = reading.restricted or any(mapping.restricts(earlier.items) for earlier in known.values())
        if restricted:
            items = mapping.withheld(items)
            # It serves later messages as one does that says so itself.
            hidden = replace(reading, items=mapping.withheld(reading.items), restricted=True, written=b"")
            readings = (*readings[:at], hidden, *readings[at + 1 :])
        to = destinations(mapping, reading, items, feed, now)
        if restricted:
            to, code = (), code or "M740"
        for target in sorted({feed.targets.get(name, "r4") for name in to} or {"r4"}):
            translation = mapping.build(reading, items, now, target)
            if before.later and not restricted and _changes_nothing(translation, mapping, reading, before, now):
                issues.append(_CHANGES_NOTHING)
                continue
            found = validator(translation.resource)
            issues += [*translation.issues, *found]
            unwritten += [f"{target}: {name}" for name in translation.not_written]
            if any(issue.severity is Severity.ERROR for issue in found):
                code = "M750"
            named = series(reading), translation.identifier
            documents.append(Document(reading.document, target, translation.kind, *named, translation.json()))
            deliveries += [
                Planned(len(documents) - 1, name, feed.needs.get(name, 2))
                for name in to
                if feed.targets.get(name, "r4") == target
            ]
    base = replace(base, readings=readings)
    issues = list(dict.fromkeys([*base.issues, *issues]))
    if unwritten:
        base = replace(base, ledger=replace(base.ledger, not_written=tuple(dict.fromkeys(unwritten))))
    if not code and not deliveries and feed.routes and _CHANGES_NOTHING not in issues:
        code = "M741"
    if code:
        # Nothing leaves until a person has looked; the documents are kept so that they can be looked at.
        return _with(base, MessageState.PARKED, code, tuple(issues), tuple(documents))
    return _with(base, MessageState.DONE, "", tuple(issues), tuple(documents), tuple(deliveries))


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


def _with(
    base: Outcome,
    state: MessageState,
    code: str,
    issues: tuple[Issue, ...] | None = None,
    documents: tuple[Document, ...] = (),
    deliveries: tuple[Planned, ...] = (),
) -> Outcome:
    return Outcome(
        base.facts, state, code, base.issues if issues is None else issues, base.readings, documents, deliveries,
        base.patient, base.episode, base.occurred_at, base.ledger,
    )  # fmt: skip
