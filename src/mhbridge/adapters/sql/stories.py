"""
What people ask for: messages and their stories, originals, documents, tasks.

Each function takes a `Reader`. This module must never be asked by the flow: an answer for people may take its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import orjson

from mhbridge.adapters.sql.books import GATEWAY, when, when_said
from mhbridge.adapters.sql.finding import LAST, Search, found
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState, Document, MessageState
from mhbridge.ports import ClockRow, MessageRow, Original, Task, Trace, TraceLine, Waiting

if TYPE_CHECKING:
    from mhbridge.adapters.sql.reading import Reader

__all__ = ["documents", "messages", "original", "part", "tasks", "trace"]


def messages(reader: Reader, sought: Search, before: int, most: int) -> list[MessageRow]:
    """The newest messages that fit."""
    with reader.snapshot():
        return [_row(reader, about)[0] for about in found(reader, sought, before, most)]


def _row(reader: Reader, about: int) -> tuple[MessageRow, str]:
    """A message as people see it, and its issues as they are stored."""
    number, envelope, feed, kind, place, received_at, state, code, mapping, fanout, issues = _message(reader, about)
    deliveries: dict[str, int] = dict(reader.rows("delivery_states", message=about))
    waiting = reader.rows("waiting", message=about) if DeliveryState.PARKED in deliveries else ()
    return (
        MessageRow(
            id=number,
            envelope=envelope,
            feed=feed,
            kind=kind,
            place=place,
            received_at=when(received_at),
            state=MessageState(state),
            code=code,
            mapping=mapping,
            fanout=fanout,
            deliveries=deliveries,
            waiting=tuple([Waiting(*row) for row in waiting]),
        ),
        issues,
    )


def _message(reader: Reader, about: int) -> Sequence[Any]:
    row: Sequence[Any] | None = reader.row("message", id=about)
    if row is None:
        raise StoreError("S214", f"there is no message {about}")
    return row


def trace(reader: Reader, message: int) -> Trace | None:
    """All that is known about one message."""
    with reader.snapshot():
        if reader.row("message", id=message) is None:
            return None
        row, issues = _row(reader, message)
        deliveries = tuple([_delivery(reader, about) for about in reader.rows("deliveries", message=message)])
        abouts = [message, *(delivery["id"] for delivery in deliveries)]
        clocks = [_clock(clock) for clock in reader.rows("clocks_of_patient", message=message)]
        abouts += [clock.id for clock in clocks]
        tasks = [_task(task) for about in abouts for task in reader.rows("tasks_about", about=about)]
        return Trace(
            message=row,
            issues=tuple(orjson.loads(issues)),
            lines=(_received(reader, row), *_lines(reader, [row.envelope, *abouts, *(task.id for task in tasks)])),
            deliveries=deliveries,
            documents=tuple([_described(about) for about in reader.rows("documents", message=message)]),
            tasks=tuple(tasks),
            clocks=tuple(clocks),
        )


def _received(reader: Reader, row: MessageRow) -> TraceLine:
    _, transport, peer, answer = reader.row("envelope", id=row.envelope) or (0, "", "", "{}")
    said = f"{transport}: {orjson.loads(answer).get('verdict', '')}"
    return TraceLine(row.received_at, "envelope", row.envelope, said, peer or GATEWAY)


def _lines(reader: Reader, abouts: Sequence[int]) -> list[TraceLine]:
    rows = sorted(
        chain.from_iterable(reader.rows("log_about", about=about) for about in abouts),
        key=lambda row: row[-1],
    )
    return [TraceLine(when(at), what, about, moves, who) for at, what, about, moves, who, _ in rows]


def _delivery(reader: Reader, row: Sequence[Any]) -> dict[str, Any]:
    number, destination, document, seq, state, code, level, attempts, due_at, deadline, remote_id, sent_at = row
    tried = reader.rows("attempts", delivery=number)
    head = reader.row("head_before", id=number)
    return {
        "id": number,
        "destination": destination,
        "document": document,
        "number": seq,
        "state": state,
        "code": code,
        "level": level,
        "attempts": attempts,
        "due_at": when_said(due_at),
        "deadline": when_said(deadline),
        "remote_id": remote_id,
        "sent_at": when_said(sent_at),
        "behind": None if head is None else dict(zip(("delivery", "message", "state", "code"), head, strict=True)),
        "tried": tuple(
            {"n": n, "started_at": when(started), "ended_at": when(ended), "result": result, "code": why}
            for n, started, ended, result, why in tried
        ),
    }


def original(reader: Reader, message: int) -> bytes | None:
    """The envelope's bytes, as they were received."""
    envelope = reader.value("envelope_of_message", id=message)
    return None if envelope is None else reader.body("envelope", envelope)


def part(reader: Reader, message: int) -> Original | None:
    """The same, and which of the envelope's messages it is: they are stored in the envelope's order."""
    row = reader.row("part_of_envelope", id=message)
    return None if row is None else Original(reader.body("envelope", row[0]), *row[1:])


def documents(reader: Reader, message: int) -> list[Document]:
    """The documents that a message made."""
    return [reader.document(row) for row in reader.rows("documents", message=message)]


def tasks(reader: Reader, queue: str, ended: bool, before: int, most: int) -> list[Task]:
    """Open tasks, the most urgent first; or all of them, the newest first."""
    if ended:
        rows = reader.rows("all_tasks", queue=queue, before=before or LAST, most=most)
    elif queue:
        rows = reader.rows("open_tasks_of_queue", queue=queue, most=most)
    else:
        rows = reader.rows("open_tasks", most=most)
    return [_task(row) for row in rows]


def _described(row: Sequence[Any]) -> dict[str, Any]:
    about, series, version, kind, target, bundle, identifier, media_type, digest, status, replaces = row
    return {
        "id": about,
        "series": series.hex(),
        "version": version,
        "type": kind,
        "target": target,
        "bundle": bundle,
        "identifier": identifier,
        "media_type": media_type,
        "sha256": digest.hex(),
        "status": status,
        "replaces": replaces,
    }


def _clock(row: Sequence[Any]) -> ClockRow:
    about, name, kind, recipient, started_at, due_at, next_at, step, ladder, state, place = row
    of = len(orjson.loads(ladder))
    starts, due = when(started_at), when(due_at)
    return ClockRow(about, name, kind, recipient, starts, due, when_said(next_at), step, of, state, place)


def _task(row: Sequence[Any]) -> Task:
    about, what, of, name, cause, queue, severity, opened_at, deadline, next_at, holder, closed_at, closed_as = row
    return Task(
        about, what, of, name, cause, queue, severity, when(opened_at), when_said(deadline), when_said(next_at), holder,
        when_said(closed_at), closed_as,
    )  # fmt: skip
