"""
What of all that is logged is an alarm, how bad it is, and how it is said to somebody who was asleep.

Whatever is logged passes here: an event of the table becomes an alarm, in words, in the log line itself and to every
target. What lasts is said when it begins and when it ends; what happens again and again is said once in a while, with
how often. This module must never wait, and never pass on anything that may not stand in the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast

from mhbridge.log import Event, Log, admitted
from mhbridge.ports import URGENCIES, Alarm, Clock, Urgency

__all__ = ["ALARMS", "Alarms", "Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """
    An event that is an alarm.

    Args:
        says: with the keys of the event in braces; `{lasts}` is its `seconds` in words.
        by: the keys that tell one such alarm from another.
        ends: the event that ends it; without one it happens and is over.
    """

    severity: Urgency
    says: str
    by: tuple[str, ...] = ()
    ends: Event | None = None


#: The one table. Every event that is logged as an error or worse stands in it.
ALARMS: Final[Mapping[Event, Kind]] = {
    Event.SILENT: Kind(
        "high",
        "Less has come from {feed} than should have. It was last heard {lasts} ago. What was received is safe.",
        ("feed", "kind"),
        Event.HEARD_AGAIN,
    ),
    Event.NO_CONNECTION: Kind("high", "{feed} has had no connection for {lasts}.", ("feed",), Event.CONNECTED_AGAIN),
    Event.NUMBERS_MISSING: Kind(
        "high",
        "{count} messages of {feed} are missing by their numbers. See mhbridge feeds, and ask its sender for them.",
        ("feed",),
        Event.NUMBERS_CAME,
    ),
    Event.STORE_FAILED: Kind(
        "critical",
        "The store cannot be used ({code}). Nothing is taken and nothing is lost: senders keep what was not accepted.",
        (),
        Event.STORE_BACK,
    ),
    Event.PRESSURE: Kind(
        "high",
        "There is no room for more ({code}), so nothing more is taken until there is. Senders keep what they have.",
        ("code",),
        Event.PRESSURE_EASED,
    ),
    Event.BALANCE_DIFFERS: Kind(
        "critical",
        "The accounts do not add up in {count} places. Messages may be stuck or lost: see mhbridge status.",
        (),
        Event.BALANCE_HOLDS,
    ),
    Event.OVERDUE: Kind(
        "high", "{count} deliveries are past their deadline: see mhbridge status.", (), Event.NONE_OVERDUE
    ),
    Event.DESTINATION_DOWN: Kind(
        "high",
        "{destination} cannot be reached. What is to go there waits and will be sent.",
        ("destination",),
        Event.DESTINATION_BACK,
    ),
    Event.DESTINATION_HELD: Kind(
        "high",
        "{destination} refuses us ({code}). What is to go there waits until somebody has put that right.",
        ("destination",),
        Event.DESTINATION_BACK,
    ),
    Event.MAILBOX_DOWN: Kind(
        "high",
        "The mailbox of {feed} cannot be asked what is in it ({error}). Nothing is lost: it waits there for five days.",
        ("feed",),
        Event.MAILBOX_BACK,
    ),
    Event.NOT_TAKEN: Kind(
        "high", "Something lies in the mailbox of {feed} that is not taken ({code}): see mhbridge tasks.", ("feed",)
    ),
    Event.NOT_DELIVERED: Kind(
        "high",
        "MESH reports that something was not delivered ({code}, {error}): see mhbridge tasks.",
        ("destination", "feed", "error"),
    ),
    Event.PARKED: Kind(
        "normal", "A message of {feed} waits for a person ({code}): see mhbridge parked.", ("feed", "code")
    ),
    Event.DELIVERY_PARKED: Kind(
        "normal",
        "A delivery to {destination} waits for a person ({code}): see mhbridge parked.",
        ("destination", "code"),
    ),
    Event.POISONED: Kind(
        "high", "mhbridge itself failed on a message of {feed}. It is safe and waits for a person.", ("feed",)
    ),
    Event.TASK_UNCLAIMED: Kind("high", "Nobody has taken task {task} in {queue}, and no queue is left.", ("task",)),
    Event.TASK_OVERDUE: Kind("high", "Task {task} in {queue} was to be done by now.", ("task",)),
    Event.CLOCK_MISSED: Kind(
        "critical",
        "What was to be done in time was not ({code}). Task {task} says so, and waits in {queue}.",
        ("code",),
    ),
    Event.HEADS_NOT_TOLD: Kind(
        "normal", "Where the log was up to cannot be written down apart from it ({error}), so its end is not proved."
    ),
    Event.WORKER_DIED: Kind("normal", "A process that translates has ended ({code}). Another one has its work."),
    Event.WALL_CLOCK_SET: Kind("normal", "The clock of this machine was set. Deadlines are reckoned by it."),
    Event.RELOAD_FAILED: Kind("normal", "New mappings cannot be used ({code}). Those in force stay in force."),
    Event.CERTIFICATE_ENDS: Kind(
        "normal", "The certificate of {kind} is good for another {lasts}, and nobody connects without it.", ("kind",)
    ),
    Event.HEARTBEAT_FAILED: Kind(
        "normal", "The watch outside cannot be reached with our heartbeat.", (), Event.HEARTBEAT_BACK
    ),
    Event.NODE_LOST: Kind(
        "high",
        "The gateway {node} does not run, or does not reach the database, for {lasts}. The others have its patients.",
        ("node",),
        Event.NODE_BACK,
    ),
    Event.NODE_NAMESAKE: Kind(
        "normal", "Two gateways on one database are called {node}. Give one another name.", ("node",)
    ),
    Event.FAILED: Kind("high", "Something in mhbridge itself failed ({error} at {where}).", ("where",)),
}

_ENDED_BY: Final[Mapping[Event, tuple[Event, ...]]] = {
    end: tuple(event for event, kind in ALARMS.items() if kind.ends is end)
    for end in {kind.ends for kind in ALARMS.values() if kind.ends is not None}
}

#: What is over at once is said so often at most; what lasts, when it is logged again.
_AGAIN: Final = timedelta(minutes=10)
_STILL: Final = timedelta(hours=1)
#: So many alarms of one kind are told apart; a fault of a thousand places is one fault.
_KEPT: Final = 1_000


@dataclass(slots=True)
class _Raised:
    id: str
    at: datetime
    unsaid: int = 0


class Alarms:
    """
    Hears what is logged, and tells the targets.

    Args:
        log: where everything is logged; `self.log` is the same with alarms in words, for all that logs.
        tell: what is told of each alarm. It must not wait.
    """

    def __init__(self, *, log: Log, tell: Sequence[Callable[[Alarm], None]], clock: Clock, gateway: str = "") -> None:
        self.log = cast("Log", _Heard(log, self))
        self._tell = tuple(tell)
        self._clock = clock
        self._gateway = gateway
        self._raised: dict[tuple[Event, tuple[Any, ...]], _Raised] = {}

    def hear(self, event: Event, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """What stands in the line besides: of an alarm, how bad it is and what it says."""
        kind = ALARMS.get(event)
        if kind is not None:
            about = admitted(given)
            says = kind.says.format_map(_Words(about))
            # A task has a severity of its own.
            severity: Urgency = about["severity"] if about.get("severity") in URGENCIES else kind.severity
            self._begin(event, kind, severity, about, says)
            return {"severity": severity, "says": says} | dict(given)
        for begun in _ENDED_BY.get(event, ()):
            self._end(begun, admitted(given))
        return given

    def _begin(self, event: Event, kind: Kind, severity: Urgency, about: Mapping[str, Any], says: str) -> None:
        now, key = self._clock(), (event, tuple(about.get(name) for name in kind.by))
        raised = self._raised.get(key)
        if raised is not None and now - raised.at < (_AGAIN if kind.ends is None else _STILL):
            raised.unsaid += 1
            return
        if raised is None and len(self._raised) >= _KEPT:
            del self._raised[next(iter(self._raised))]
        which = repr((self._gateway, event.value, key[1], now.isoformat())).encode()
        last = kind.ends is not None and raised is not None
        name = raised.id if last and raised is not None else hashlib.sha256(which).hexdigest()[:32]
        self._raised[key] = _Raised(name, now)
        count = 1 + (raised.unsaid if raised is not None else 0)
        state: Literal["begun", "once"] = "once" if kind.ends is None else "begun"
        self._say(Alarm(name, event.value, severity, state, says, now, about, count))

    def _end(self, event: Event, about: Mapping[str, Any]) -> None:
        kind = ALARMS[event]
        raised = self._raised.pop((event, tuple(about.get(name) for name in kind.by)), None)
        if raised is not None:
            whose = about.get("feed") or about.get("destination")
            says = f"It is over: {event.value.replace('_', ' ')}{f', {whose}' if whose else ''}."
            self._say(Alarm(raised.id, event.value, kind.severity, "ended", says, self._clock(), about))

    def _say(self, alarm: Alarm) -> None:
        for tell in self._tell:
            tell(alarm)


class _Words(dict[str, Any]):
    """The keys of an event in words. What an event does not say stays unsaid."""

    def __missing__(self, key: str) -> str:
        return _lasts(self["seconds"]) if key == "lasts" and "seconds" in self else "unknown"


def _lasts(seconds: float) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size or size == 60:
            count = round(seconds / size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return ""


class _Heard:
    """A logger that is listened to."""

    __slots__ = ("_alarms", "_log")

    def __init__(self, log: Log, alarms: Alarms) -> None:
        self._log = log
        self._alarms = alarms

    def debug(self, event: Event, **about: Any) -> None:
        self._log.debug(event, **about)

    def info(self, event: Event, **about: Any) -> None:
        self._log.info(event, **self._alarms.hear(event, about))

    def warning(self, event: Event, **about: Any) -> None:
        self._log.warning(event, **self._alarms.hear(event, about))

    def error(self, event: Event, **about: Any) -> None:
        self._log.error(event, **self._alarms.hear(event, about))

    def critical(self, event: Event, **about: Any) -> None:
        self._log.critical(event, **self._alarms.hear(event, about))
