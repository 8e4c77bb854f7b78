"""
MLLP as a byte machine: bytes in, frames and faults out, in the order of arrival. No sockets, no tasks, no clock.

    <VT> message <FS> <CR>     HL7 Version 3 Transport Specification: MLLP, Release 1, §2; VT 0x0B, FS 0x1C, CR 0x0D

Every byte that is received ends in an event: nothing may ever be dropped in silence, and nothing here may look at what
a message says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["FRAME_LIMIT", "NEED_DATA", "Fault", "Frame", "Framer", "NeedData", "can_be_framed", "frame"]

VT: Final = b"\x0b"
FS: Final = b"\x1c"
CR: Final = b"\x0d"
_VT, _FS, _CR, _LF = 0x0B, 0x1C, 0x0D, 0x0A

#: The largest frame by default. A discharge letter with a scanned page is a few megabytes.
FRAME_LIMIT: Final = 20_000_000
#: Kept of a frame that is too large to keep: enough to find its control id.
_HEAD: Final = 4096
#: So much without a VT is no stray noise; whatever speaks here does not speak MLLP.
_STRAY: Final = 65_536
#: What opens a message, a file or a batch (HL7 v2.5.1 §2.10.3). A VT before anything else is content.
_OPENINGS: Final = (b"MSH", b"FHS", b"BHS")
_RUN_IN: Final = re.compile(rb"\x0b(?=MSH|FHS|BHS)")
_ENDS: Final = re.compile(rb"\x1c[\r\n\x0b]")


def frame(body: bytes) -> bytes:
    """`body` as one frame."""
    return VT + body + FS + CR


def can_be_framed(body: bytes) -> bool:
    """Whether a frame of `body` would be read back as just that: nothing in it looks like an end or a beginning."""
    return not (body[-1:] == FS or _ENDS.search(body) or _RUN_IN.search(body) or body[:1] == VT)


class NeedData(Enum):
    """The one other thing that `Framer.next_event` returns."""

    NEED_DATA = "need_data"


NEED_DATA: Final = NeedData.NEED_DATA


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame's content, perhaps empty."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """
    Bytes that are no frame.

    Args:
        code: D910 outside a frame, D911 too large, D912 not finished in time, D913 cut off, D914 run into by the next.
        head: the first bytes, from which an answer can take the control id.
        size: how many bytes there were.
        lost: where the next frame begins cannot be told; close the connection.
    """

    code: str
    head: bytes
    size: int
    lost: bool = False


class Framer:
    """
    One direction of one connection.

    Tolerated, because senders do it: CR and LF between frames; FS LF; FS without CR, when the next frame or a silence
    follows. A VT or FS inside a frame is content, except a VT right before a message's own opening: there a frame was
    never ended, and to go on would make one message of two patients' (so the first is a fault, the second a frame).

    Args:
        limit: the largest content accepted. A larger frame is read to its end and thrown away, so framing is kept.
    """

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0
        self._oversize: tuple[bytes, int] | None = None
        self._ready: list[Frame | Fault] = []
        self._ended = False

    @property
    def partial(self) -> bool:
        """Something has begun and not ended: the sender's time runs."""
        self._skip_line_ends()
        return bool(self._buffer) or self._oversize is not None

    @property
    def buffered(self) -> int:
        """Bytes held."""
        return len(self._buffer)

    @property
    def ends_in_fs(self) -> bool:
        """All that is missing may be a CR that this sender never sends: a short silence decides (`silence`)."""
        inside = self._oversize is not None or (len(self._buffer) > 1 and self._buffer[0] == _VT)
        return inside and self._buffer[-1:] == FS

    def receive_data(self, data: bytes) -> None:
        """More bytes; `b""` when the sender has ended."""
        if data:
            self._buffer += data
        else:
            self._ended = True

    def next_event(self) -> Frame | Fault | NeedData:
        """What came next, or `NEED_DATA`. After the sender's end, `NEED_DATA` means that there is no more."""
        if not self._ready:
            self._advance()
        if not self._ready and self._ended:
            self._abandon("D913")
        return self._ready.pop(0) if self._ready else NEED_DATA

    def silence(self) -> None:
        """The sender has paused after FS: that was the end of a frame."""
        if self.ends_in_fs:
            self._buffer += CR

    def give_up(self, code: str) -> None:
        """The sender's time, or ours, is over: what has begun becomes a fault."""
        self._abandon(code)

    def _advance(self) -> None:
        self._skip_line_ends()
        if not self._buffer:
            return
        if self._oversize is None:
            if self._buffer[0] != _VT:
                self._pass_over_strays()
                return
            if self._buffer[1:2] == VT:
                # Several VT begin one frame.
                self._drop(len(self._buffer) - len(self._buffer.lstrip(VT)) - 1)
        end = self._end()
        if end >= 0:
            self._take(end)
        elif self._oversize is not None or self._searched > self._limit + 1:
            self._shrink()

    def _pass_over_strays(self) -> None:
        """What stands before the next VT is a fault."""
        start = self._buffer.find(VT)
        if 0 <= start <= _STRAY:
            self._ready.append(Fault("D910", bytes(self._buffer[: min(start, _HEAD)]), start))
            self._drop(start)
        elif len(self._buffer) > _STRAY:
            self._abandon("D910")

    def _end(self) -> int:
        """
        Where the frame in hand ends: at an FS with what may follow one, or at the VT of the next frame; -1: not yet.

        What lies before `_searched` is surely content; what lies behind it is looked at again when more has come.
        """
        buffer, at = self._buffer, self._searched
        if not at:
            at = 1 if self._oversize is None else 0
        next_vt = buffer.find(VT, at)
        while True:
            found = buffer.find(FS, at, next_vt if next_vt >= 0 else len(buffer))
            if found >= 0:
                if found + 1 == len(buffer):
                    break
                if buffer[found + 1] in (_CR, _LF, _VT):
                    return found
            elif next_vt >= 0:
                found, behind = next_vt, bytes(buffer[next_vt + 1 : next_vt + 4])
                if behind in _OPENINGS:
                    return found
                if len(behind) < len(b"MSH") and any(opening.startswith(behind) for opening in _OPENINGS):
                    break
                next_vt = buffer.find(VT, found + 1)
            else:
                found = len(buffer)
                break
            at = found + 1
        self._searched = found
        return -1

    def _take(self, end: int) -> None:
        """The frame in hand is whole, or run into by the next."""
        run_into = self._buffer[end] == _VT
        head, size = self._head(end)
        if run_into:
            self._ready.append(Fault("D914", head, size))
        elif size > self._limit:
            self._ready.append(Fault("D911", head, size))
        else:
            self._ready.append(Frame(bytes(self._buffer[1:end])))
        self._oversize = None
        self._drop(end if run_into else end + 1)

    def _shrink(self) -> None:
        """Throw away what is too large, but for its beginning and what may be the end of it."""
        self._oversize = self._head(self._searched)
        self._drop(self._searched)

    def _head(self, end: int) -> tuple[bytes, int]:
        """The beginning of the frame in hand, and its size, when it goes on to `end`."""
        head, size = self._oversize or (b"", -1)
        begin = 1 if self._oversize is None else 0
        return head + bytes(self._buffer[begin : min(end, begin + _HEAD - len(head))]), size + end

    def _abandon(self, code: str) -> None:
        if self.partial:
            head, size = self._oversize or (bytes(self._buffer[:_HEAD]).lstrip(VT), 0)
            if self._oversize is None and self._buffer[0] != _VT:
                code = "D910"
            self._ready.append(Fault(code, head, size + len(self._buffer), lost=True))
        self._oversize = None
        self._drop(len(self._buffer))

    def _skip_line_ends(self) -> None:
        if self._oversize is None:
            line_ends = 0
            while line_ends < len(self._buffer) and self._buffer[line_ends] in (_CR, _LF):
                line_ends += 1
            if line_ends:
                self._drop(line_ends)

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._searched = 0
