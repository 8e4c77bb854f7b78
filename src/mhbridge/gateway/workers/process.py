"""
A worker: a process that reads envelopes and steps messages, and does nothing else. Started by `pool`.

It has no store, no keys, no network and no log: it is given bytes over a socket and gives back what became of them. So
what a message does to it happens to it alone. It ends when the socket does. This module must never let the text of an
exception out of the process: it may quote what was read.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mhbridge.errors import MessageError
from mhbridge.fhir.validate import default_validator
from mhbridge.gateway.workers.apart import Part, Taking, to_be_worked
from mhbridge.gateway.workers.work import Asked, work
from mhbridge.log import where
from mhbridge.mapping import record
from mhbridge.model import Envelope, Known, Outcome, Past

if TYPE_CHECKING:
    from mhbridge.gateway.workers.work import Whose
    from mhbridge.pipeline import Feed, Intake

__all__ = ["DROP", "KEEP", "READ", "STEP", "Failed", "Refused", "framed", "frames", "main"]

READ, STEP, KEEP, DROP = "read", "step", "keep", "drop"

Told = tuple[Mapping["Whose", Known], Sequence[Past], datetime | None]
"""What a step is told: what is known, which documents there are, and the instant where that is not the receipt's."""

#: Each frame is its length and a pickle. Both ends are one program, and the socket has no name by which to find it.
_LENGTH: Final = 8


class Refused(NamedTuple):
    """The envelope is no message."""

    code: str
    message: str


class Failed(NamedTuple):
    """Our own code failed; what may be said of it."""

    said: Mapping[str, Any]


def framed(what: Any) -> bytes:
    """As it goes over the socket."""
    body = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
    return len(body).to_bytes(_LENGTH, "big") + body


def frames(buffer: bytearray) -> Iterator[Any]:
    """What has arrived whole; it is taken out of the buffer."""
    while len(buffer) >= _LENGTH:
        end = _LENGTH + int.from_bytes(buffer[:_LENGTH], "big")
        if len(buffer) < end:
            return
        body = bytes(buffer[_LENGTH:end])
        del buffer[:end]
        # From this program's other process: nobody else can write to the socket.
        yield pickle.loads(body)  # noqa: S301


def _written(outcome: Outcome) -> Outcome:
    """With its readings in the form in which they are stored, so that the gateway need not write them."""
    readings = tuple([replace(reading, written=record.dumps(reading.items)) for reading in outcome.readings])
    return replace(outcome, readings=readings)


class _Bench:
    """What a worker has in hand: envelopes that were read and not yet stepped."""

    def __init__(self, feeds: Mapping[str, Feed]) -> None:
        self._feeds = feeds
        self._read: dict[int, tuple[Intake, datetime, Feed]] = {}

    def answer(self, verb: str, ticket: int, what: Any) -> bytes:
        """As it goes over the socket: also of what is too large to be written, something can be said."""
        try:
            match verb:
                case "read":
                    return framed(self._do_read(ticket, what))
                case "step":
                    return framed(self._do_step(ticket, what))
            return framed(self._do_keep(ticket))
        except MessageError as error:
            return framed(Refused(error.code, error.message))
        except Exception as error:  # noqa: BLE001  whatever it is, the gateway keeps the message for a person
            return framed(Failed(where(error)))

    def drop(self, ticket: int) -> None:
        self._read.pop(ticket, None)

    def _do_read(self, ticket: int, what: tuple[Envelope, Part]) -> Asked:
        envelope, part = what
        feed = self._feeds[envelope.feed]
        taking = Taking(envelope, feed, part)
        taking.some()
        self._read[ticket] = taking.intake, envelope.received_at, feed
        return taking.asked()

    def _do_step(
        self, ticket: int, what: tuple[Mapping[Whose, Known], Sequence[Past], datetime | None]
    ) -> list[Outcome]:
        intake, now, feed = self._read.pop(ticket)
        known, past, worked_at = what
        return [_written(outcome) for outcome in work(intake, known, now, feed, past, worked_at)]

    def _do_keep(self, ticket: int) -> list[Outcome]:
        intake, _, _ = self._read.pop(ticket)
        return to_be_worked(intake)


def _serve(gateway: socket.socket) -> None:
    buffer = bytearray()

    def arriving() -> Iterator[Any]:
        while data := gateway.recv(1 << 20):
            buffer.extend(data)
            yield from frames(buffer)

    requests = arriving()
    make = next(requests)
    bench = _Bench(make())
    default_validator()
    gc.collect()
    gc.freeze()
    gateway.sendall(framed(os.getpid()))
    for verb, ticket, what in requests:
        if verb == DROP:
            bench.drop(ticket)
        else:
            # One at a time: whoever waits sees by the first that is not answered which one was in hand.
            gateway.sendall(bench.answer(verb, ticket, what))


def _limit(memory: int) -> None:
    """What one message makes of memory it takes from nobody else: where there is no more, that message fails."""
    try:
        import resource
    except ImportError:  # a system that has no such limits
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def main() -> None:
    """Work: the arguments of the process are the socket to work over, and how many bytes of memory it may have."""
    # Whoever stops the gateway stops it, and it then ends this.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _limit(int(sys.argv[2]))
    with socket.socket(fileno=int(sys.argv[1])) as gateway:
        try:
            _serve(gateway)
        except (OSError, StopIteration):
            # The gateway has gone.
            return
