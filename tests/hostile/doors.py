"""
The doors that hostile input comes through, for the tests of this folder: a feed whose mappings bind what is attacked, a
real MLLP listener before it, and what is to be said of an answer, whatever it answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from mhbridge import log as logs
from mhbridge.adapters.mllp import MllpReceiver
from mhbridge.config import Listen
from mhbridge.errors import explanations
from mhbridge.formats import format_named
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.library import Library, built_in
from mhbridge.model import Answer, MessageState, Outcome, Verdict
from mhbridge.pipeline import Feed
from mhbridge.testing.replaying import RECEIVED_AT, feed_of, outcomes_of

LIBRARY = Path(__file__).parent / "library"
VT, FS, CR = b"\x0b", b"\x1c", b"\r"


@cache
def catalogue() -> Catalogue:
    return Catalogue(Library([LIBRARY, built_in("mappings")]))


@cache
def feed(kind: str = "hl7v2") -> Feed:
    """A live feed with the mapping of one format; what they bind is in `library/`."""
    whole = feed_of(catalogue(), "hostile")
    return replace(whole, mappings=tuple(m for m in whole.mappings if m.format.name == kind), live=True)


@dataclass(frozen=True)
class Taken:
    """What became of an envelope: the outcomes, what its sender is told, and that in HL7 v2."""

    outcomes: list[Outcome]
    answer: Answer
    acknowledgement: bytes

    @property
    def verdict(self) -> str:
        """In the words of the corpus's manifest."""
        if not self.outcomes:
            return "reject"
        parked = [one for one in self.outcomes if one.state is MessageState.PARKED]
        return "store_dlq" if parked else "accept"

    @property
    def codes(self) -> str:
        """`done M708 done`."""
        return " ".join(one.code or one.state.value for one in self.outcomes) or self.answer.code


def take(body: bytes, kind: str = "hl7v2", *, own: Feed | None = None) -> Taken:
    own = own or feed(kind)
    outcomes, answer = outcomes_of(body, own, RECEIVED_AT)
    acknowledge = next(mapping.format for mapping in own.mappings if mapping.format.name == kind).acknowledge
    return Taken(outcomes, answer, acknowledge(body, answer, name="hub"))


def sound(taken: Taken) -> None:
    """What holds of every verdict and of every answer."""
    for outcome in taken.outcomes:
        assert outcome.state in (MessageState.DONE, MessageState.PARKED, MessageState.FILTERED)
        if outcome.state is MessageState.PARKED:
            assert outcome.code in explanations()
            assert outcome.deliveries == ()
        assert all(issue.code in explanations() for issue in outcome.issues)
    if not taken.outcomes:
        assert taken.answer.verdict is Verdict.REJECTED
        assert taken.answer.code in explanations()
    if taken.acknowledgement:
        well_formed(taken.acknowledgement)


def well_formed(acknowledgement: bytes) -> str:
    """MSA-1 of an answer, which is read by a parser that believes nothing and says nothing but what an answer says."""
    if acknowledgement[:2] in (b"\xff\xfe", b"\xfe\xff"):
        acknowledgement = acknowledgement.decode("utf-16").encode()
    assert not set(acknowledgement) & (set(range(32)) - {13}), "no control character but the segment end"
    segments = acknowledgement.split(CR)
    assert segments.pop() == b""
    assert [segment[:3] for segment in segments[:2]] == [b"MSH", b"MSA"]
    assert {segment[:3] for segment in segments[2:]} <= {b"ERR"}
    separator = segments[0][3:4]
    assert all(segment[3:4] == separator for segment in segments)
    header, said = segments[0].split(separator), segments[1].split(separator)
    assert said[1] in (b"AA", b"AE", b"AR", b"CA", b"CE", b"CR")
    assert header[8].startswith(b"ACK")
    assert len(header[9]) == 20, "a control id of its own"
    assert len(acknowledgement) < 10_000
    hl7v2 = format_named("hl7v2")
    assert hl7v2 is not None
    assert hl7v2.acknowledge(acknowledgement, Answer(Verdict.ACCEPTED, "", RECEIVED_AT), name="x") == b""
    return said[1].decode()


# --- a real listener ---------------------------------------------------------------------------------------


@dataclass
class Behind:
    """What a gateway is to a receiver: it takes for good, and counts what it refuses."""

    taken: list[Taken] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    async def receive(self, envelope):
        taken = take(envelope.body)
        if taken.outcomes:
            self.taken.append(taken)
        else:
            self.refused.append(taken.answer.code)
        return taken.answer

    async def refuse(self, _feed, code):
        self.refused.append(code)


class Peer:
    """A sender that reads answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.writer.write(chunk)
            await self.writer.drain()

    async def answers(self, number: int) -> list[bytes]:
        async with asyncio.timeout(20):
            return [(await self.reader.readuntil(FS + CR))[1:-2] for _ in range(number)]

    async def rest(self) -> bytes:
        """What comes until the listener closes; `TimeoutError` if it never does."""
        async with asyncio.timeout(20):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@asynccontextmanager
async def listening(**options) -> AsyncIterator[tuple[Peer, Behind, MllpReceiver, io.BytesIO]]:
    """A peer at the real listener, what stands behind it, and its log."""
    behind, stream, hl7v2 = Behind(), io.BytesIO(), format_named("hl7v2")
    assert hl7v2 is not None
    receiver = MllpReceiver(
        supplier="hostile",
        feed="hostile/mllp",
        listen=Listen("127.0.0.1", 0),
        receive=behind.receive,
        refuse=behind.refuse,
        acknowledge=lambda body, answer: hl7v2.acknowledge(body, answer, name="hub"),
        clock=lambda: RECEIVED_AT,
        log=logs.make(stream),
        **options,
    )
    await receiver.open()
    host, port = receiver.address.rsplit(":", 1)
    peer = Peer(*await asyncio.open_connection(host, int(port)))
    try:
        yield peer, behind, receiver, stream
    finally:
        await peer.close()
        await receiver.close()
        assert all(json.loads(line) for line in stream.getvalue().splitlines())
