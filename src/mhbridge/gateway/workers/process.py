"""
A worker: a process that reads envelopes and steps messages, and does nothing else. Started by `pool`.

It has no store, no keys, no network and no log: it is given bytes over a socket and gives back what became of them. So
what a message does to it happens to it alone. It ends when the socket does. This module must never let the text of an
exception out of the process: it may quote what was read.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from mhbridge.errors import MessageError
from mhbridge.fhir.validate import default_validator
from mhbridge.gateway.workers import wire
from mhbridge.gateway.workers.apart import Part, Taking, to_be_worked
from mhbridge.gateway.workers.wire import Failed, Refused, framed, frames
from mhbridge.gateway.workers.work import Asked, work
from mhbridge.log import where
from mhbridge.model import Envelope, Known, Later, Outcome, Past

if TYPE_CHECKING:
    from mhbridge.gateway.workers.work import Whose
    from mhbridge.pipeline import Feed, Intake

__all__ = ["TICKET", "main"]

#: What it has in hand it says in so many bytes that the gateway sees, too.
TICKET: Final = 8
#: So many answers leave together, and none waits longer than so many seconds for those behind it.
_MOST: Final = 32
_KEPT: Final = 0.005
#: Of what is larger than so many bytes no answer waits.
_LONG: Final = 16_000


class _Bench:
    """What a worker has in hand: envelopes that were read and not yet stepped."""

    def __init__(self, feeds: Mapping[str, Feed]) -> None:
        self._feeds = feeds
        self._read: dict[int, tuple[Intake, Envelope, Feed]] = {}

    def is_long(self, verb: str, ticket: int, rest: bytes, what: Any) -> bool:
        """Whether a request may take so long that nothing that is made already should wait for it."""
        if verb == wire.READ:
            return len(rest) > _LONG or (what is not None and len(what[0]) > _LONG)
        return ticket in self._read and len(self._read[ticket][1].body) > _LONG

    def answer(self, verb: str, ticket: int, what: Any, rest: bytes) -> bytes:
        """As it goes over the socket: also of what is too large to be written, something can be said."""
        try:
            said = wire.what_of(verb, what, rest)
            match verb:
                case wire.READ:
                    return framed(wire.asked(self._do_read(ticket, *said)))
                case wire.STEP:
                    return framed(wire.outcomes(self._do_step(ticket, *said)))
            return framed(wire.outcomes(self._do_keep(ticket)))
        except MessageError as error:
            return framed(Refused(error.code, error.message))
        except Exception as error:  # noqa: BLE001  whatever it is, the gateway keeps the message for a person
            return framed(Failed(where(error)))

    def drop(self, ticket: int) -> None:
        self._read.pop(ticket, None)

    def _do_read(self, ticket: int, envelope: Envelope, part: Part) -> Asked:
        feed = self._feeds[envelope.feed]
        taking = Taking(envelope, feed, part)
        taking.some()
        self._read[ticket] = taking.intake, envelope, feed
        return taking.asked()

    def _do_step(
        self,
        ticket: int,
        known: Mapping[Whose, Known],
        past: Sequence[Past],
        worked_at: datetime | None,
        before: Mapping[Whose, Sequence[Later]] | None,
    ) -> list[Outcome]:
        intake, envelope, feed = self._read.pop(ticket)
        return list(work(intake, known, envelope.received_at, feed, past, worked_at, before))

    def _do_keep(self, ticket: int) -> list[Outcome]:
        intake, _, _ = self._read.pop(ticket)
        return to_be_worked(intake)


def _serve(gateway: socket.socket, hand: mmap.mmap) -> None:
    buffer = bytearray()
    answers: list[bytes] = []
    began = 0.0

    def arriving() -> Iterator[Any]:
        while data := gateway.recv(1 << 20):
            buffer.extend(data)
            yield from frames(buffer)
            leave()

    def leave() -> None:
        # Several at a time, and never later than all that has arrived is worked.
        if answers:
            gateway.sendall(b"".join(answers))
            answers.clear()
            hand[:TICKET] = bytes(TICKET)

    requests = arriving()
    make = next(requests)
    bench = _Bench(make())
    default_validator()
    gc.collect()
    gc.freeze()
    gateway.sendall(framed(os.getpid()))
    for verb, ticket, what, rest in requests:
        if verb == wire.DROP:
            bench.drop(ticket)
            continue
        if bench.is_long(verb, ticket, rest, what):
            # Each has its own time, and whoever looks at ours begins to count with the answer before it.
            leave()
        # One at a time: whoever finds us gone sees here which one it was.
        hand[:TICKET] = ticket.to_bytes(TICKET, "big")
        if not answers:
            began = time.monotonic()
        answers.append(bench.answer(verb, ticket, what, rest))
        if len(answers) >= _MOST or time.monotonic() - began > _KEPT:
            leave()


def _limit(memory: int) -> None:
    """What one message makes of memory it takes from nobody else: where there is no more, that message fails."""
    try:
        import resource
    except ImportError:  # a system that has no such limits
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def main() -> None:
    """Work: the arguments are the socket to work over, how many bytes of memory there may be, and where to say what."""
    # Whoever stops the gateway stops it, and it then ends this.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _limit(int(sys.argv[2]))
    with socket.socket(fileno=int(sys.argv[1])) as gateway, mmap.mmap(int(sys.argv[3]), TICKET) as hand:
        try:
            _serve(gateway, hand)
        except (OSError, StopIteration):
            # The gateway has gone.
            return
