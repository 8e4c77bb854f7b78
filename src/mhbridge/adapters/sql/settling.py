"""
What becomes of messages that are here already and in hand: settled, or divided into those that they are.

It is written with the same rows as for messages that come (`intake`). This module must never write of a message
that is in hand no more as it was taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mhbridge.adapters.sql.backlog import Waits, waits_now
from mhbridge.adapters.sql.books import Books, micros
from mhbridge.adapters.sql.figures import count
from mhbridge.adapters.sql.moves import move
from mhbridge.adapters.sql.ready import Ready, ReadyMessage
from mhbridge.adapters.sql.repairing import only_new
from mhbridge.adapters.sql.rows import (
    Numbered,
    Rows,
    has_changed,
    join_patients,
    keep_message,
    keep_what_became,
    retired_patient,
    rows_for,
    told_deliveries,
)
from mhbridge.errors import PastChanged, StoreError
from mhbridge.model import Answer, MessageState, Verdict
from mhbridge.ports import Pending

__all__ = ["Dividing", "Settling", "divide", "settle"]


class Settling(NamedTuple):
    """What became of messages in hand."""

    results: Sequence[tuple[Pending, ReadyMessage]]
    now: int


class Dividing(NamedTuple):
    """A message in hand that stood for a whole envelope, which falls into these."""

    pending: Pending
    messages: Sequence[ReadyMessage]
    now: int


def settle(books: Books, items: Sequence[Settling]) -> list[Numbered]:
    """
    What became of messages that were here already and in hand, as `commit` writes it for those that come.

    Raises:
        StoreError: S213, when one of them is not in hand any more as it was taken.
        PastChanged: S218, when what a step was told came before does not hold any more.
    """
    rows = rows_for(books, [message for item in items for _, message in item.results])
    found = waits_now(books, (pending.id for item in items for pending, _ in item.results))
    books.act_for(one.patient for one in found.values())
    written: list[Numbered] = []
    for item in items:
        before, readings = books.readings, len(rows.by_table["reading"])
        if has_changed(books, rows, [message for _, message in item.results]):
            raise PastChanged("S218", "what came before has changed meanwhile")
        for pending, message in item.results:
            now = found.pop(pending.id, None)
            if now is None or not now.is_in_hand_as(pending):
                raise StoreError("S213", f"message {pending.id} is not in hand any more")
            _settle_message(books, rows, pending, now, message, item.now)
        numbers = [row[0] for row in rows.by_table["reading"][readings:]]
        books.readings += len(numbers)
        written.append(Numbered(numbers, before))
    rows.write(books)
    return written


def _settle_message(books: Books, rows: Rows, pending: Pending, now: Waits, message: ReadyMessage, at: int) -> None:
    if message.state == MessageState.STORED:
        join_patients(books, rows, pending.id, message, at)
        if not message.merges and message.patient is not None:
            books.run(
                "place_message", id=pending.id, patient=books.root(rows.patients[message.patient]),
                retires=retired_patient(books, rows, message), issues=message.issues,
            )  # fmt: skip
        books.run("put_back", id=pending.id, due_at=message.due_at, starts=0)
        return
    patient = now.patient if message.patient is None else books.root(rows.patients[message.patient])
    if pending.historic:
        message = only_new(books, pending.id, message)
    more = told_deliveries(message) + (", historic" if pending.historic else "")
    move(
        books, "message", pending.id, MessageState.STORED, message.state, feed=now.feed, at=at, code=message.code,
        more=more, due_at=message.due_at,
    )  # fmt: skip
    books.run(
        "settle_message", id=pending.id, patient=patient, kind=message.kind, place=message.place,
        mapping=message.mapping, mapping_hash=message.mapping_hash, fanout=len(message.deliveries),
        issues=message.issues,
    )  # fmt: skip
    keep_what_became(books, rows, pending.id, patient, message, at)
    if not pending.historic:
        # What a person has worked again was counted the first time.
        count(books, message.figures, micros(pending.received_at))
    if message.state == MessageState.DONE:
        # In their order: those that follow are still in hand, and stay there.
        books.run("bring_forward", patient=patient, now=at)


def divide(books: Books, items: Sequence[Dividing]) -> list[None]:
    """
    An envelope that was kept as one message becomes the messages that it falls into, each to be worked by itself.

    Raises:
        StoreError: S213, when the message is not in hand any more as it was taken.
    """
    for item in items:
        _divide(books, item)
    return [None] * len(items)


def _divide(books: Books, item: Dividing) -> None:
    pending, (first, *others) = item.pending, item.messages
    now = waits_now(books, [pending.id]).get(pending.id)
    if now is None or not now.is_in_hand_as(pending):
        raise StoreError("S213", f"message {pending.id} is not in hand any more")
    books.act_for([now.patient])
    rows = rows_for(books, item.messages)
    patient = pending.id if first.patient is None else books.root(rows.patients[first.patient])
    books.run("divide_envelope", id=pending.envelope, messages=len(item.messages))
    books.run("put_back", id=pending.id, due_at=item.now, starts=0)
    books.run(
        "settle_message", id=pending.id, patient=patient, kind=first.kind, place=first.place, mapping=first.mapping,
        mapping_hash=first.mapping_hash, fanout=0, issues=first.issues,
    )  # fmt: skip
    books.log(item.now, "message", pending.id, f"is {len(item.messages)} messages")
    keep_what_became(books, rows, pending.id, patient, first, item.now)
    for message in others:
        keep_message(books, rows, _source(pending, item.now), pending.envelope, message)
    rows.write(books)
    if pending.historic:
        books.run("historic_as", envelope=pending.envelope)


def _source(pending: Pending, now: int) -> Ready:
    """What the messages of an envelope that is here already have from it."""
    received_at = micros(pending.received_at)
    answer = Answer(Verdict.ACCEPTED, "", pending.received_at)
    return Ready(b"", pending.feed, received_at, "", "", b"", now, answer, "", ())
