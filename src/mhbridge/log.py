"""
What the gateway says about itself: one JSON line an event, to standard error, from a fixed list of events and keys.

A log is read by people and machines that may not see patients, so a line must never hold a value of a message, the name
of a file that a supplier chose, the text of a receiver's answer, or the text of an exception (parsers quote their
input). So every key is on a list with the shape that its value must have; what does not fit is replaced, never written.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import orjson
import structlog
from structlog.typing import FilteringBoundLogger

from mhbridge.errors import MhbridgeError

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

Log = FilteringBoundLogger

__all__ = ["KEYS", "Event", "Log", "admitted", "adopt_asyncio", "adopt_logging", "make", "where"]


class Event(StrEnum):
    """Everything that is ever logged. The name is the documentation; a new event is a new line here."""

    STARTED = "started"
    STOPPING = "stopping"
    STOPPED = "stopped"
    LISTENING = "listening"
    FOLDER_MADE = "folder_made"
    RECEIVED = "received"
    WORKED = "worked"
    REPEATED = "repeated"
    REFUSED = "refused"
    PARKED = "parked"
    POISONED = "poisoned"
    CONNECTION_REFUSED = "connection_refused"
    HANDSHAKE_FAILED = "handshake_failed"
    DELIVERED = "delivered"
    WILL_RETRY = "will_retry"
    UNKNOWN = "unknown"
    DELIVERY_PARKED = "delivery_parked"
    OVERDUE = "overdue"
    NONE_OVERDUE = "none_overdue"
    SILENT = "silent"
    HEARD_AGAIN = "heard_again"
    NO_CONNECTION = "no_connection"
    CONNECTED_AGAIN = "connected_again"
    NUMBERS_MISSING = "numbers_missing"
    NUMBERS_CAME = "numbers_came"
    ALARM_TARGET_DOWN = "alarm_target_down"
    ALARM_TARGET_BACK = "alarm_target_back"
    CERTIFICATE_ENDS = "certificate_ends"
    HEARTBEAT_FAILED = "heartbeat_failed"
    HEARTBEAT_BACK = "heartbeat_back"
    NOT_ACKNOWLEDGED = "not_acknowledged"
    ACKNOWLEDGED = "acknowledged"
    NOT_DELIVERED = "not_delivered"
    NOT_TRACKED = "not_tracked"
    NOT_TAKEN = "not_taken"
    MAILBOX_DOWN = "mailbox_down"
    MAILBOX_BACK = "mailbox_back"
    DESTINATION_HELD = "destination_held"
    DESTINATION_DOWN = "destination_down"
    DESTINATION_BACK = "destination_back"
    RECOVERED = "recovered"
    STORE_FAILED = "store_failed"
    WORKER_DIED = "worker_died"
    STORE_BACK = "store_back"
    BALANCE_DIFFERS = "balance_differs"
    BALANCE_HOLDS = "balance_holds"
    BODY_READ = "body_read"
    RESENT = "resent"
    REPROCESSED = "reprocessed"
    RELEASED = "released"
    CLOSED = "closed"
    CLOCK_STEP = "clock_step"
    CLOCK_MISSED = "clock_missed"
    LETTER_AGAIN = "letter_again"
    TASK_TAKEN = "task_taken"
    TASK_DONE = "task_done"
    TASK_HANDED_ON = "task_handed_on"
    TASK_UNCLAIMED = "task_unclaimed"
    TASK_OVERDUE = "task_overdue"
    WALL_CLOCK_SET = "wall_clock_set"
    PURGED = "purged"
    HEADS_NOT_TOLD = "heads_not_told"
    ACCESS_DENIED = "access_denied"
    REQUEST = "request"
    FAILED = "failed"
    LIBRARY = "library"
    PRESSURE = "pressure"
    PRESSURE_EASED = "pressure_eased"
    RELOADED = "reloaded"
    RELOAD_FAILED = "reload_failed"
    PARTS_HELD = "parts_held"
    LEASES_LOST = "leases_lost"
    NOT_SENT = "not_sent"
    NODE_LOST = "node_lost"
    NODE_BACK = "node_back"
    NODE_NAMESAKE = "node_namesake"


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) else "?"


_WORD: Final = re.compile(r"[A-Za-z0-9._:/@+\- (),{}\[\]]*")


def _word(value: Any, most: int = 160) -> Any:
    # Printable ASCII without quotes: one event is one line, and terminal escapes are inert (ASVS 5.0, 16.4.1).
    text = str(value)
    return text if len(text) <= most and _WORD.fullmatch(text) else "?"


def _sentence(value: Any) -> Any:
    # Words of ours, with names that were configured in them.
    return _word(value, 600)


#: Each key that may stand in a line, and what makes its value safe. Ids, codes, counts, sizes, configured names.
KEYS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "address": _word,
    "attempts": _number,
    "code": _word,
    "connections": _number,
    "count": _number,
    "delivery": _number,
    "destination": _word,
    "error": _word,
    "feed": _word,
    "kind": _word,
    "library": _word,
    "message": _number,
    "messages": _number,
    "method": _word,
    "mode": _word,
    "node": _word,
    "nodes": _number,
    "parts": _number,
    "peer": _word,
    "queue": _word,
    "reference": _word,
    "route": _word,
    "says": _sentence,
    "seconds": _number,
    "severity": _word,
    "size": _number,
    "state": _word,
    "status": _number,
    "task": _number,
    "version": _word,
    "where": _word,
    "who": _word,
}

_PACKAGE: Final = Path(__file__).parent
_EVENTS: Final = frozenset(Event)
_ALWAYS: Final = frozenset({"event", "level", "timestamp"})


def admitted(about: Mapping[str, Any]) -> dict[str, Any]:
    """Of the keys of an event, those that may stand in a line, each made safe."""
    return {key: KEYS[key](value) for key, value in about.items() if key in KEYS and value != ""}


def _admit(_logger: WrappedLogger, method: str, line: EventDict) -> bytes:
    """A line of what is on the list, and of nothing else. One step, so that nothing can be added behind it."""
    line.setdefault("timestamp", datetime.now(UTC).isoformat().removesuffix("+00:00") + "Z")
    event = line.get("event")
    admitted: dict[str, Any] = {
        "timestamp": line["timestamp"],
        "level": method,
        "event": str(event) if event in _EVENTS else "?",
    }
    dropped = 0
    for key, value in line.items():
        if key in _ALWAYS:
            continue
        if (safe := KEYS.get(key)) is None:
            dropped += 1
        elif value != "":
            admitted[key] = safe(value)
    if dropped:
        admitted["dropped"] = dropped
    return orjson.dumps(admitted, option=orjson.OPT_APPEND_NEWLINE)


class _Lines:
    """
    Writes lines. What merely tells of what goes well may wait for the end of the event loop's turn, so that one write
    takes the lines of many messages; everything else is written before `log.warning` and the others return.
    """

    def __init__(self, stream: BinaryIO, *, gather: bool) -> None:
        self._stream = stream
        self._gather = gather
        self._lines: list[bytes] = []
        self._leaving = False
        self._lock = threading.Lock()

    def msg(self, line: bytes) -> None:
        with self._lock:
            self._lines.append(line)
            self._write()

    debug = warning = error = critical = msg

    def info(self, line: bytes) -> None:
        loop = asyncio._get_running_loop() if self._gather else None  # noqa: SLF001  as `get_running_loop`, without raising
        if loop is None:
            self.msg(line)
            return
        with self._lock:
            self._lines.append(line)
            if not self._leaving:
                self._leaving = True
                loop.call_soon(self._leave)

    def _leave(self) -> None:
        with self._lock:
            self._leaving = False
            self._write()

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            self._stream.write(b"".join(lines))
            self._stream.flush()


def make(stream: BinaryIO | None = None, *, level: int = logging.INFO, gather: bool = False) -> Log:
    """
    A logger that writes JSON lines.

    Args:
        stream: standard error when none is given; standard output belongs to results.
        level: of the standard library's scale. No level shows more of a message: the keys are the same at each.
        gather: within an event loop, what goes well is written once a turn.
    """
    log: Log = structlog.wrap_logger(
        _Lines(stream or sys.stderr.buffer, gather=gather),
        processors=[_admit],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    ).bind()
    return log


def where(error: BaseException) -> dict[str, Any]:
    """
    What may be said of an exception: its class, its code, and the last place in our own files that it passed.

    Never its text, its arguments or any frame's variables.
    """
    place, traceback = "", error.__traceback__
    while traceback is not None:
        path = Path(traceback.tb_frame.f_code.co_filename)
        if _PACKAGE in path.parents:
            place = f"{path.relative_to(_PACKAGE).as_posix()}:{traceback.tb_lineno}"
        elif path.suffix == ".yaml":
            # A frame of compiled mapping code names the mapping file: just what is wanted.
            place = f"{path.name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    said = {"error": type(error).__name__, "where": place}
    return said | {"code": error.code} if isinstance(error, MhbridgeError) else said


class _Adopted(logging.Handler):
    """What libraries log through the standard library: that they did, and never what, since they quote their input."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        said = where(error) if error is not None else {}
        self._log.warning(Event.LIBRARY, library=record.name, **said)


def adopt_logging(log: Log) -> None:
    """Send the standard library's logging, and its warnings, here and nowhere else."""
    root = logging.getLogger()
    root.handlers[:] = [_Adopted(log)]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def adopt_asyncio(log: Log, loop: asyncio.AbstractEventLoop) -> None:
    """Take what the event loop would print itself, with the representation of the exception, as an event of ours."""

    def seen(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        log.critical(Event.FAILED, kind="asyncio", **(where(error) if isinstance(error, BaseException) else {}))

    loop.set_exception_handler(seen)
