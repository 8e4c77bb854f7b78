"""MLLP as a byte machine: what comes in, in which pieces, and which frames and faults come out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhbridge.adapters.mllp.framing import NEED_DATA, Fault, Frame, Framer, can_be_framed, frame

VT, FS, CR, LF = b"\x0b", b"\x1c", b"\r", b"\n"
ONE, TWO = b"MSH|^~\\&|A|||||||1\rPID|1\r", b"MSH|^~\\&|A|||||||2\r"
LIMIT = 100


def events(*chunks: bytes, limit: int = LIMIT, end: bool = False) -> list[Frame | Fault]:
    framer, found = Framer(limit), []
    for chunk in (*chunks, b"") if end else chunks:
        framer.receive_data(chunk)
        while (event := framer.next_event()) is not NEED_DATA:
            found.append(event)
    return found


def said(found: list[Frame | Fault]) -> list[bytes | str]:
    return [event.body if isinstance(event, Frame) else event.code for event in found]


WHOLE = {
    "one frame": (frame(ONE), [ONE]),
    "two frames": (frame(ONE) + frame(TWO), [ONE, TWO]),
    "an empty frame": (frame(b""), [b""]),
    "line ends between frames": (CR + LF + frame(ONE) + LF + CR + LF + frame(TWO) + LF, [ONE, TWO]),
    "FS LF": (VT + ONE + FS + LF + frame(TWO), [ONE, TWO]),
    "FS without CR, the next frame follows": (VT + ONE + FS + frame(TWO), [ONE, TWO]),
    "VT and FS as content": (frame(b"MSH|a\x0bb\x1cc\r"), [b"MSH|a\x0bb\x1cc\r"]),
    "several VT": (VT + VT + frame(ONE), [ONE]),
    "bytes before VT": (b"noise" + frame(ONE), ["D910", ONE]),
    "bytes between frames": (frame(ONE) + b"noise" + frame(TWO), [ONE, "D910", TWO]),
    "a frame that was never ended": (VT + ONE + frame(TWO), ["D914", TWO]),
    "two that were never ended": (VT + ONE + VT + ONE + frame(TWO), ["D914", "D914", TWO]),
    "just within the limit": (frame(b"x" * LIMIT), [b"x" * LIMIT]),
    "one byte over the limit": (frame(b"x" * (LIMIT + 1)) + frame(ONE), ["D911", ONE]),
    "far over the limit": (frame(b"x" * LIMIT * 50) + frame(ONE), ["D911", ONE]),
    "far over the limit, ended by FS LF": (VT + b"x" * LIMIT * 50 + FS + LF + frame(ONE), ["D911", ONE]),
}


@pytest.mark.parametrize("name", WHOLE)
def test_events_are_the_same_however_the_bytes_are_split(name):
    sent, expected = WHOLE[name]
    assert said(events(sent)) == expected
    assert said(events(*(sent[i : i + 1] for i in range(len(sent))))) == expected
    for cut in range(len(sent)):
        assert said(events(sent[:cut], sent[cut:])) == expected, cut


ENDED = {
    "inside a frame": (VT + ONE, ["D913"]),
    "behind FS alone: it may be content": (VT + ONE + FS, ["D913"]),
    "outside a frame": (b"GET / HTTP/1.1\r\n\r\n", ["D910"]),
    "behind a whole frame": (frame(ONE), [ONE]),
    "inside a frame that is too large": (VT + b"x" * LIMIT * 9, ["D913"]),
    "at once": (b"", []),
}


@pytest.mark.parametrize("name", ENDED)
def test_the_senders_end_leaves_nothing_unsaid(name):
    sent, expected = ENDED[name]
    assert said(events(sent, end=True)) == expected


def test_a_fault_carries_the_head_from_which_it_can_be_answered_and_its_size():
    (fault,) = events(frame(ONE + b"x" * 10_000))
    assert isinstance(fault, Fault)
    assert fault.head.startswith(b"MSH|^~\\&|A|||||||1\r")
    assert len(fault.head) <= 4096
    assert fault.size == len(ONE) + 10_000
    assert not fault.lost


def test_time_ends_what_has_begun_and_framing_is_lost():
    framer = Framer()
    framer.receive_data(VT + ONE)
    assert framer.next_event() is NEED_DATA
    assert framer.partial
    framer.give_up("D912")
    assert framer.next_event() == Fault("D912", ONE, len(VT + ONE), lost=True)
    assert not framer.partial


def test_a_silence_behind_fs_is_the_end_of_a_frame():
    framer = Framer()
    framer.receive_data(VT + ONE + FS)
    assert framer.next_event() is NEED_DATA
    assert framer.ends_in_fs
    framer.silence()
    assert framer.next_event() == Frame(ONE)
    # The CR that comes after all belongs to nothing.
    framer.receive_data(CR)
    assert framer.next_event() is NEED_DATA
    assert not framer.partial


def test_a_silence_anywhere_else_is_no_end():
    framer = Framer()
    framer.receive_data(VT + ONE)
    framer.silence()
    assert framer.next_event() is NEED_DATA


def test_what_never_begins_a_frame_is_given_up():
    found = events(b"x" * 100_000)
    assert said(found) == ["D910"]
    assert found[0].lost


def test_memory_is_bounded_by_the_limit_and_not_by_the_frame():
    framer = Framer(LIMIT)
    framer.receive_data(VT)
    for _ in range(1000):
        framer.receive_data(b"x" * 1000)
        assert framer.next_event() is NEED_DATA
        assert framer.buffered <= LIMIT + 1000
    framer.receive_data(FS + CR)
    event = framer.next_event()
    assert isinstance(event, Fault)
    assert event.size == 1_000_000


@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_what_can_be_framed_comes_back_from_any_pieces(bodies, data):
    bodies = [body.strip(b"\x0b") for body in bodies]
    bodies = [body for body in bodies if can_be_framed(body)]
    sent = b"".join(frame(body) for body in bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=5)))
    pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True) if a < b]
    assert said(events(*pieces, limit=1000)) == bodies


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=8))
def test_no_byte_is_lost_whatever_comes(pieces):
    """Every byte is in an event, but for framing and line ends between frames."""
    found = events(*pieces, limit=20, end=True)
    content = b"".join(event.body for event in found if isinstance(event, Frame))
    counted = len(content) + sum(event.size for event in found if isinstance(event, Fault))
    framing = sum(sum(piece.count(byte) for byte in (VT, FS, CR, LF)) for piece in pieces)
    assert counted <= sum(len(piece) for piece in pieces)
    assert counted >= sum(len(piece) for piece in pieces) - framing


@pytest.mark.parametrize("body", [b"a\x1c\rb", b"a\x1c\nb", b"a\x1c\x0bb", b"a\x0bMSH|", b"\x0ba"])
def test_what_would_break_its_own_frame_is_known(body):
    assert not can_be_framed(body)
    assert said(events(frame(body), end=True)) != [body]
