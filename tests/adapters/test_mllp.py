"""MLLP over real sockets: every arrival has its answer, in order, and a relay believes only an answer that names it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from hl7.client import MLLPClient

from mhbridge import log as logs
from mhbridge.adapters.mllp import MllpReceiver, MllpSender
from mhbridge.adapters.mllp.framing import frame
from mhbridge.config import Listen
from mhbridge.errors import DestinationRejected, DestinationSilent, DestinationUnavailable, StoreError
from mhbridge.formats import format_named
from mhbridge.model import Answer, DeliveryState, Document, Verdict
from mhbridge.ports import DueDelivery, Original

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VT, FS, CR = b"\x0b", b"\x1c", b"\r"
CANARY = "Zyxwvutsrq"


def message(control_id: object, text: str = "") -> bytes:
    return f"MSH|^~\\&|PAS|T|MHB|T|20260102030405||ADT^A03|{control_id}|P|2.4\rPID|1||{text}\r".encode()


class Door:
    """What a gateway is to a receiver, and what it saw."""

    def __init__(self):
        self.envelopes, self.refused, self.fail = [], [], None
        self.free = asyncio.Event()
        self.free.set()

    async def receive(self, envelope):
        await self.free.wait()
        self.envelopes.append(envelope)
        if self.fail is not None:
            raise self.fail
        if not envelope.body:
            return Answer(Verdict.REJECTED, "Nothing was sent.", NOW, "M700")
        return Answer(Verdict.ACCEPTED, "Safely stored.", NOW, reference="1")

    async def refuse(self, feed, code):
        self.refused.append((feed, code))


@asynccontextmanager
async def listening(**options):
    """A receiver, the door behind it, and its log."""
    door, stream, format_ = Door(), io.BytesIO(), format_named("hl7v2")
    receiver = MllpReceiver(
        supplier="s",
        feed="s/mllp",
        listen=Listen("127.0.0.1", 0),
        receive=door.receive,
        refuse=door.refuse,
        acknowledge=lambda body, answer: format_.acknowledge(body, answer, name="test"),
        clock=lambda: NOW,
        log=logs.make(stream),
        **options,
    )
    await receiver.open()
    try:
        yield receiver, door, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    finally:
        await receiver.close()


class Peer:
    """A sender, byte by byte."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def of(cls, receiver, **options):
        host, port = receiver.address.rsplit(":", 1)
        return cls(*await asyncio.open_connection(host, int(port), **options))

    async def send(self, *chunks):
        for chunk in chunks:
            self.writer.write(chunk)
            await self.writer.drain()

    async def answer(self):
        """MSA of the next acknowledgement, `AA 1`; empty at the end of the connection."""
        async with asyncio.timeout(5):
            first = await self.reader.read(1)
            if not first:
                return ""
            found = first + await self.reader.readuntil(FS + CR)
        (msa,) = [line for line in found.decode().split("\r") if line.startswith("MSA")]
        return " ".join(msa.split("|")[1:3]).strip()

    async def close(self):
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  what is waited for happens in another task
            await asyncio.sleep(0.01)


@asynccontextmanager
async def connected(**options):
    async with listening(**options) as (receiver, door, log):
        peer = await Peer.of(receiver)
        peer.receiver = receiver
        try:
            yield peer, door, log
        finally:
            await peer.close()


# --- in ----------------------------------------------------------------------------------------------------


async def test_a_hundred_pipelined_frames_are_answered_in_order():
    async with connected() as (peer, door, _):
        await peer.send(b"".join(frame(message(n)) for n in range(100)))
        assert [await peer.answer() for _ in range(100)] == [f"AA {n}" for n in range(100)]
        assert [envelope.body for envelope in door.envelopes] == [message(n) for n in range(100)]


async def test_a_frame_that_comes_byte_by_byte_is_one_envelope():
    async with connected() as (peer, door, _):
        sent = frame(message("x"))
        await peer.send(*(sent[i : i + 1] for i in range(len(sent))))
        assert await peer.answer() == "AA x"
        (envelope,) = door.envelopes
        assert (envelope.body, envelope.supplier, envelope.feed, envelope.transport, envelope.peer) == (
            message("x"), "s", "s/mllp", "mllp", "127.0.0.1",
        )  # fmt: skip


FAULTY = {
    "bytes before VT": (b"noise" + frame(message(1)), ["AR", "AA 1"], ["D910"]),
    "a message without framing, then one with": (message(0) + frame(message(1)), ["AR 0", "AA 1"], ["D910"]),
    "too large, then one that is not": (frame(message(0, "x" * 5000)) + frame(message(1)), ["AR 0", "AA 1"], ["D911"]),
    "never ended, then one that is": (VT + message(0) + frame(message(1)), ["AR 0", "AA 1"], ["D914"]),
    "an empty frame": (frame(b"") + frame(message(1)), ["AR", "AA 1"], []),
    "a Latin-1 byte where UTF-8 is said": (
        frame(message(0) + b"NTE|1||Caf\xe9\r") + frame(message(1)),
        ["AA 0", "AA 1"],
        [],
    ),
    "no text at all": (frame(bytes(range(128, 256))) + frame(message(1)), ["AA", "AA 1"], []),
    "two messages in one frame": (frame(message(0) + message(1)) + frame(message(2)), ["AA 0", "AA 2"], []),
    "two frames glued, without the end of the first": (VT + message(0) + FS + frame(message(1)), ["AA 0", "AA 1"], []),
    "two frames glued, without FS and VT": (
        VT + message(0) + CR + message(1) + FS + CR + frame(message(2)),
        ["AA 0", "AA 2"],
        [],
    ),
    "no VT, but an end": (message(0) + FS + CR + frame(message(1)), ["AR 0", "AA 1"], ["D910"]),
    "an end alone": (FS + CR + frame(message(1)), ["AR", "AA 1"], ["D910"]),
    "VT twice": (VT + frame(message(0)) + frame(message(1)), ["AA 0", "AA 1"], []),
    "CR and LF between frames": (b"\r\n" + frame(message(0)) + b"\r\n\n\r" + frame(message(1)), ["AA 0", "AA 1"], []),
    "VT and FS as content": (frame(message(0, "a\x0bb\x1cc")) + frame(message(1)), ["AA 0", "AA 1"], []),
    "too large in the middle of others": (
        frame(message(0)) + frame(message(1, "x" * 9000)) + frame(message(2)),
        ["AA 0", "AR 1", "AA 2"],
        ["D911"],
    ),
    "an empty frame between others": (frame(message(0)) + frame(b"") + frame(message(1)), ["AA 0", "AR", "AA 1"], []),
    "blanks alone": (frame(b" \r\n ") + frame(message(1)), ["AA", "AA 1"], []),
    "FS LF": (VT + message(0) + FS + b"\n" + frame(message(1)), ["AA 0", "AA 1"], []),
}


@pytest.mark.parametrize("name", FAULTY)
async def test_every_bad_frame_is_answered_and_the_connection_goes_on(name):
    sent, answers, refused = FAULTY[name]
    async with connected(limit=2000) as (peer, door, _):
        await peer.send(sent)
        assert [await peer.answer() for _ in answers] == answers
        assert door.refused == [("s/mllp", code) for code in refused]
        await peer.send(frame(message("after")))
        assert await peer.answer() == "AA after"


LOST = {
    "a frame without an end": (VT + message(7), "AR 7", "D912"),
    "another protocol": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "AR", "D910"),
    "nothing but VT": (VT * 100_000, "AR", "D912"),
}


@pytest.mark.parametrize("name", LOST)
async def test_what_never_ends_is_answered_when_its_time_is_over_and_closed(name):
    sent, answer, code = LOST[name]
    async with connected(frame_time=0.2) as (peer, door, _):
        await peer.send(sent)
        assert await peer.answer() == answer
        assert await peer.answer() == ""
        assert door.refused == [("s/mllp", code)]
        assert door.envelopes == []


async def test_fs_without_cr_is_an_end_after_a_short_silence():
    async with connected() as (peer, door, _):
        await peer.send(VT + message(1) + FS)
        assert await peer.answer() == "AA 1"
        await peer.send(CR + frame(message(2)))
        assert await peer.answer() == "AA 2"
        assert door.refused == []


async def test_idle_connections_are_left_open():
    async with connected(frame_time=0.05) as (peer, _, _):
        await peer.send(frame(message(1)))
        assert await peer.answer() == "AA 1"
        await asyncio.sleep(0.2)
        await peer.send(frame(message(2)))
        assert await peer.answer() == "AA 2"


async def test_whoever_says_nothing_for_too_long_is_hung_up_on_where_that_is_wanted():
    async with connected(idle=0.1) as (peer, door, _):
        await peer.send(frame(message(1)))
        assert [await peer.answer() for _ in range(2)] == ["AA 1", ""]
        assert door.refused == []


def asked(connection):
    """Whether somebody is still there, after how many seconds, and how long it waits for confirmations."""
    seconds = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    patience = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), seconds, patience


async def test_a_sender_that_is_gone_without_a_word_is_noticed():
    async with connected(keepalive=7.0) as (peer, _, _):
        await peer.send(frame(message(1)))
        assert await peer.answer() == "AA 1"
        assert peer.receiver.connected == 1
        (connection,) = peer.receiver.open_connections
        assert asked(connection._transport.get_extra_info("socket")) == (1, 7, 67_000)
        # The control: nobody asks on a connection that nothing was done to.
        assert asked(peer.writer.get_extra_info("socket"))[0] == 0


async def test_a_half_closed_connection_still_gets_its_answers_and_half_a_frame_is_refused():
    async with connected() as (peer, door, _):
        await peer.send(frame(message(1)) + frame(message(2)) + VT + message(3)[:60])
        peer.writer.write_eof()
        assert [await peer.answer() for _ in range(4)] == ["AA 1", "AA 2", "AR 3", ""]
        assert [envelope.body for envelope in door.envelopes] == [message(1), message(2)]
        assert door.refused == [("s/mllp", "D913")]


async def test_a_connection_that_breaks_inside_a_frame_stores_nothing_and_is_counted():
    async with listening() as (receiver, door, _):
        peer = await Peer.of(receiver)
        await peer.send(VT + message(1)[:60])
        peer.writer.transport.abort()
        await until(lambda: door.refused and not receiver.open_connections)
        assert (door.envelopes, door.refused) == ([], [("s/mllp", "D913")])


@pytest.mark.parametrize("error", [StoreError("S209", "the store has failed"), ValueError(CANARY)])
async def test_what_cannot_be_stored_is_rejected_and_the_next_goes_on(error):
    async with connected() as (peer, door, log):
        door.fail = error
        await peer.send(frame(message(1, CANARY)))
        assert await peer.answer() == "AR 1"
        door.fail = None
        await peer.send(frame(message(2, CANARY)))
        assert await peer.answer() == "AA 2"
        # Neither the message nor the exception's text is in the log.
        assert CANARY not in json.dumps(log())


async def test_an_acknowledgement_that_cannot_be_made_is_said_and_the_connection_goes_on():
    async with connected() as (peer, door, log):

        def broken(_body, _answer):
            raise ValueError(CANARY)

        receiver = peer.receiver
        acknowledge, receiver.acknowledge = receiver.acknowledge, broken
        await peer.send(frame(message(1)))
        await until(lambda: [line for line in log() if line["event"] == "failed"])
        receiver.acknowledge = acknowledge
        await peer.send(frame(message(2)))
        assert await peer.answer() == "AA 2"
        assert len(door.envelopes) == 2
        assert CANARY not in json.dumps(log())


async def test_whoever_does_not_read_the_answers_is_cut_off():
    async with listening(frame_time=0.2) as (receiver, _, _log):
        receiver.acknowledge = lambda *_: b"x" * 10_000_000
        peer = await Peer.of(receiver)
        await peer.send(frame(message(1)))
        await until(lambda: not receiver.open_connections)
        await peer.close()


async def test_an_acknowledgement_as_input_is_never_answered():
    async with connected() as (peer, door, _):
        await peer.send(frame(b"MSH|^~\\&|A|B|C|D|1||ACK|9|P|2.4\rMSA|AA|1\r") + frame(message(2)))
        assert await peer.answer() == "AA 2"
        assert len(door.envelopes) == 2


async def test_one_connection_more_than_allowed_is_closed_and_said():
    async with connected(connections=1) as (peer, _, log):
        await peer.send(frame(message(1)))
        assert await peer.answer() == "AA 1"
        host, port = peer.writer.get_extra_info("peername")
        other = Peer(*await asyncio.open_connection(host, port))
        assert await other.answer() == ""
        await other.close()
        assert [line["code"] for line in log() if line["event"] == "connection_refused"] == ["D915"]
        await peer.send(frame(message(2)))
        assert await peer.answer() == "AA 2"


async def test_a_sender_that_is_faster_than_the_store_has_to_wait():
    async with connected() as (peer, door, _):
        door.free.clear()
        sent = frame(message(1, "x" * 100_000)) * 400
        peer.writer.write(sent)
        await asyncio.sleep(0.2)
        # What was not taken stands in the sender's own buffers: 40 MB do not fit into sockets and 64 kB ahead.
        assert peer.writer.transport.get_write_buffer_size() > len(sent) / 2
        door.free.set()
        assert [await peer.answer() for _ in range(400)] == ["AA 1"] * 400


async def test_closing_answers_what_was_read():
    async with listening() as (receiver, door, _):
        peer = await Peer.of(receiver)
        door.free.clear()
        await peer.send(frame(message(1)) + frame(message(2)) + VT + message(3)[:60])
        await asyncio.sleep(0.1)
        closing = asyncio.create_task(receiver.close())
        await asyncio.sleep(0)
        door.free.set()
        assert [await peer.answer() for _ in range(4)] == ["AA 1", "AA 2", "AR 3", ""]
        await closing
        host, port = peer.writer.get_extra_info("peername")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, port)
        await peer.close()


async def test_python_hl7_is_answered():
    """A client that is not ours."""
    async with listening() as (receiver, door, _):
        host, port = receiver.address.split(":")

        def send():
            with MLLPClient(host, int(port)) as client:
                return [client.send_message(message(n)) for n in range(3)]

        answers = await asyncio.to_thread(send)
        assert all(f"MSA|AA|{n}".encode() in answer for n, answer in enumerate(answers))
        assert [envelope.body for envelope in door.envelopes] == [message(n) for n in range(3)]


# --- TLS ---------------------------------------------------------------------------------------------------


async def test_with_tls_a_sender_shows_its_certificate_and_is_known_by_it(authority):
    async with listening(context=authority.server(clients=True)) as (receiver, door, _):
        peer = await Peer.of(receiver, ssl=authority.client("trust-a"), server_hostname="localhost")
        await peer.send(frame(message(1)) + frame(message(2)))
        assert [await peer.answer(), await peer.answer()] == ["AA 1", "AA 2"]
        assert {envelope.peer for envelope in door.envelopes} == {"127.0.0.1 trust-a"}
        await peer.close()


REFUSED_HANDSHAKES = {
    "no certificate": lambda authority, _: authority.client(None),
    "a certificate of somebody else": lambda _, other: other.client("trust-a"),
    "TLS 1.1": lambda authority, _: authority.client("trust-a", version=ssl.TLSVersion.TLSv1_1),
    "no forward secrecy": lambda authority, _: authority.client("trust-a", ciphers="AES256-GCM-SHA384"),
}


@pytest.mark.parametrize("name", REFUSED_HANDSHAKES)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_a_stranger_is_refused_nothing_is_read_and_it_is_logged(name, authority, other_authority):
    async with listening(context=authority.server(clients=True)) as (receiver, door, log):
        context = REFUSED_HANDSHAKES[name](authority, other_authority)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            peer = await Peer.of(receiver, ssl=context, server_hostname="localhost")
            # In TLS 1.3 the client believes to be in before the server has looked at its certificate.
            await peer.send(frame(message(1)))
            assert await peer.answer() == ""
            await peer.close()
        except OSError:
            pass
        await until(lambda: [line for line in log() if line["event"] == "handshake_failed"])
        assert door.envelopes == []


async def test_plain_text_to_a_tls_port_is_refused(authority):
    async with listening(context=authority.server(clients=True)) as (receiver, door, log):
        peer = await Peer.of(receiver)
        await peer.send(frame(message(1)))
        # A TLS alert, and the end.
        assert FS + CR not in await peer.reader.read()
        await peer.close()
        assert door.envelopes == []
        assert [line["code"] for line in log() if line["event"] == "handshake_failed"] == ["D916"]


# --- out ---------------------------------------------------------------------------------------------------


def due(original: bytes | None, number: int = 0, of: int = 1, **changes) -> DueDelivery:
    document = Document("letter", "r4", "document", b"s" * 32, "urn:uuid:0", b"{}")
    values = {"id": 1, "message": 1, "destination": "relay", "patient": 1, "number": 1, "attempts": 0, "deadline": None}
    found = None if original is None else lambda: Original(original, number, of)
    return DueDelivery(**values, state=DeliveryState.SENDING, document=document, original=found, **changes)


@asynccontextmanager
async def answering(script):
    """A destination: `script` gets each frame's body and the number of the connection, and says what to send back."""
    connections = []

    async def serve(reader, writer):
        number = len(connections)
        connections.append(writer)
        try:
            while True:
                received = await reader.readuntil(FS + CR)
                for reply in script(received[1:-2], number):
                    if reply is None:
                        return
                    writer.write(reply)
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    sender = MllpSender(name="relay", address=Listen(*server.sockets[0].getsockname()), timeout=0.5)
    try:
        yield sender, connections
    finally:
        await sender.close()
        server.close()
        await server.wait_closed()


def ack(code, control_id) -> bytes:
    return frame(f"MSH|^~\\&|X|X|Y|Y|1||ACK|9|P|2.4\rMSA|{code}|{control_id}\r".encode())


ANSWERS = {
    "AA": ([ack("AA", 1)], None),
    "CA": ([ack("CA", 1)], None),
    "one for another message, then ours": ([ack("AE", 99), ack("AA", 1)], None),
    "noise, then ours": ([b"noise", ack("AA", 1)], None),
    "AE": ([ack("AE", 1)], DestinationRejected),
    "CE": ([ack("CE", 1)], DestinationRejected),
    "AR": ([ack("AR", 1)], DestinationUnavailable),
    "CR": ([ack("CR", 1)], DestinationUnavailable),
    "a code that does not exist": ([ack("XX", 1)], DestinationSilent),
    "one for another message only": ([ack("AA", 99)], DestinationSilent),
    "no control id": ([ack("AA", "")], DestinationSilent),
    "nothing": ([], DestinationSilent),
    "the end of the connection": ([None], DestinationSilent),
    "half an answer": ([ack("AA", 1)[:-20]], DestinationSilent),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_acknowledgement_decides_what_may_be_done_next(name):
    replies, error = ANSWERS[name]
    async with answering(lambda *_: replies) as (sender, _):
        if error is None:
            assert (await sender.deliver(due(message(1)))).level == 2
        else:
            with pytest.raises(error):
                await sender.deliver(due(message(1)))


async def test_the_original_is_relayed_byte_for_byte():
    seen = []
    async with answering(lambda body, _: seen.append(body) or [ack("AA", 1)]) as (sender, _):
        original = message(1, "caf\xe9").replace(b"\xc3\xa9", b"\xe9")
        await sender.deliver(due(original))
        assert seen == [original]


ENVELOPES = {
    "two in one frame": (b"%s%s", 2),
    "lines that end in LF": (b"%s\n%s", 2),
    "a batch": (b"FHS|^~\\&|PAS\rBHS|^~\\&|PAS\r%s%sBTS|2\rFTS|1\r", 2),
    "a batch that is not closed": (b"BHS|^~\\&|PAS\r%s%s", 3),
    "a mark at its beginning": (b"\xef\xbb\xbf%s%s", 2),
}


@pytest.mark.parametrize("name", ENVELOPES)
async def test_of_an_envelope_each_delivery_sends_its_own_message_alone(name):
    around, of = ENVELOPES[name]
    parts, seen = [message(1, "first"), message(2, "second")], []
    envelope = around % tuple(parts)
    found = list(format_named("hl7v2").messages(envelope, ()))
    assert len(found) == of  # as many rows as the store has of it
    async with answering(lambda body, _: seen.append(body) or [ack("AA", body.split(b"|")[9].decode())]) as (sender, _):
        for number in range(2):
            assert (await sender.deliver(due(envelope, number, of))).level == 2
    assert [body.strip() for body in seen] == [part.strip() for part in parts]
    assert [body.strip() for body in seen] == [one.body.strip() for one, _ in found[:2]]


async def test_an_acknowledgement_of_its_neighbour_is_not_its_own():
    envelope = message(1) + message(2)
    async with answering(lambda *_: [ack("AA", 1)]) as (sender, _):
        assert (await sender.deliver(due(envelope, 0, 2))).level == 2
        with pytest.raises(DestinationSilent):
            await sender.deliver(due(envelope, 1, 2))


@pytest.mark.parametrize(("number", "of"), [(0, 1), (1, 1), (2, 3), (5, 2)])
async def test_a_message_that_cannot_be_told_from_its_neighbours_is_not_sent(number, of):
    seen = []
    async with answering(lambda body, _: seen.append(body) or []) as (sender, _):
        with pytest.raises(DestinationRejected) as raised:
            await sender.deliver(due(message(1) + message(2), number, of))
    assert (raised.value.code, seen) == ("D951", [])


async def test_a_byte_order_mark_is_not_relayed():
    seen = []
    async with answering(lambda body, _: seen.append(body) or [ack("AA", 1)]) as (sender, _):
        await sender.deliver(due(b"\xef\xbb\xbf" + message(1)))
    assert seen == [message(1)]


async def test_a_connection_is_used_again_until_something_is_odd_on_it():
    def script(body, _):
        control_id = body.split(b"|")[9].decode()
        return [] if control_id == "lost" else [ack("AA", control_id)]

    async with answering(script) as (sender, connections):
        for n in range(3):
            await sender.deliver(due(message(n)))
        assert len(connections) == 1
        with pytest.raises(DestinationSilent):
            await sender.deliver(due(message("lost")))
        await sender.deliver(due(message(4)))
        assert len(connections) == 2


async def test_a_connection_that_the_destination_has_closed_is_not_used():
    async with answering(lambda _, number: [ack("AA", 1)] + [None] * (number == 0)) as (sender, connections):
        await sender.deliver(due(message(1)))
        (line,) = sender._idle
        assert await asyncio.wait_for(line.reader.read(), 10) == b""
        await sender.deliver(due(message(1)))
        assert len(connections) == 2


async def test_nobody_there_is_certainly_not_taken():
    async with answering(lambda *_: []) as (sender, _):
        pass
    with pytest.raises(DestinationUnavailable):
        await sender.deliver(due(message(1)))


@pytest.mark.parametrize("original", [None, b"", b"a,b\r\n", message(""), message(1, "a\x1c\rb")])
async def test_what_cannot_be_relayed_is_rejected_and_not_sent(original):
    seen = []
    async with answering(lambda body, _: seen.append(body) or []) as (sender, _):
        with pytest.raises(DestinationRejected):
            await sender.deliver(due(original))
    assert seen == []


async def test_after_no_answer_policy_decides():
    address = Listen("127.0.0.1", 1)
    assert await MllpSender(name="x", address=address).look(due(message(1))) is None
    with pytest.raises(DestinationRejected):
        await MllpSender(name="x", address=address, on_unknown="ask").look(due(message(1)))


async def test_over_tls_the_destination_must_be_who_it_says(authority, other_authority):
    async with listening(context=authority.server(clients=True)) as (receiver, door, _):
        port = int(receiver.address.rsplit(":", 1)[1])
        address = Listen("localhost", port)
        good = MllpSender(name="x", address=address, context=authority.client("us"))
        assert (await good.deliver(due(message(1)))).level == 2
        await good.close()
        deceived = MllpSender(name="x", address=address, context=other_authority.client("us"))
        with pytest.raises(DestinationUnavailable):
            await deceived.deliver(due(message(1)))
        assert len(door.envelopes) == 1
