"""
What the gateway says to others of itself, unasked: alarms to webhooks, and a heartbeat to a watch outside.

An alarm is sent again until it was taken, for a day. A heartbeat is sent once a minute, or not at all when the gateway
is not well: its absence raises the alarm there, since a process cannot report its own death. This module must never
hold up what raised an alarm, and never send more than stands in the log.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import orjson

from mhbridge.adapters.calling import Caller
from mhbridge.adapters.signing import sign
from mhbridge.errors import DeliveryError
from mhbridge.log import Event, Log
from mhbridge.ports import URGENCIES, Alarm, Clock, Urgency

if TYPE_CHECKING:
    import ssl

    from mhbridge.config import Secret

__all__ = ["AlarmWebhook", "Heartbeat"]

#: An alarm that is older has been seen otherwise, or nobody looks.
_OLDEST: Final = timedelta(hours=24)
_WAITING: Final = 1_000
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 300.0
_TIMEOUT: Final = 20.0
#: What was raised while the gateway stopped has so long to be sent.
_PARTING: Final = 3.0


class AlarmWebhook:
    """
    Alarms to one address, in order, each until it was taken. A target that does not answer is said once, in the log.

    Args:
        key: signs; never sent.
        least: alarms below are not sent.
        log: must not be listened to for alarms, or a target that is away would talk of itself for ever.
    """

    def __init__(
        self,
        *,
        url: str,
        key: Secret,
        clock: Clock,
        log: Log,
        gateway: str = "",
        least: Urgency = "normal",
        context: ssl.SSLContext | None = None,
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        self._caller = Caller(base=url, accept="*/*", timeout=_TIMEOUT, concurrency=1, context=context)
        # Not the path: many services put the secret there.
        self._address = urlsplit(url).netloc
        self._key = key
        self._clock = clock
        self._log = log
        self._gateway = gateway
        self._least = URGENCIES.index(least)
        self._first_pause = first_pause
        self._waiting: deque[Alarm] = deque(maxlen=_WAITING)
        self._come = asyncio.Event()
        self._sent = asyncio.Event()
        self._sent.set()
        self._task: asyncio.Task[None] | None = None
        self._down = False
        self._dropped = 0

    def tell(self, alarm: Alarm) -> None:
        """Send this, some time soon."""
        if URGENCIES.index(alarm.severity) < self._least:
            return
        self._dropped += len(self._waiting) == _WAITING
        self._waiting.append(alarm)
        self._sent.clear()
        self._come.set()

    async def open(self) -> None:
        """Begin to send."""
        await self._caller.open()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Send what waits, if that is soon done, and no more. What lasts is raised again at the next start."""
        if self._task is not None:
            if not self._down:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PARTING):
                        await self._sent.wait()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._caller.close()

    async def _run(self) -> None:
        pause = self._first_pause
        while True:
            while not self._waiting:
                self._sent.set()
                self._come.clear()
                await self._come.wait()
            alarm = self._waiting[0]
            code = await self._send(alarm)
            if not code or self._clock() - alarm.at > _OLDEST:
                # Unless so many have come meanwhile that this one was pushed out.
                if self._waiting and self._waiting[0] is alarm:
                    self._waiting.popleft()
                self._dropped += bool(code)
            if not code:
                pause = self._first_pause
                if self._down:
                    self._down = False
                    self._log.info(Event.ALARM_TARGET_BACK, address=self._address, count=self._dropped)
                    self._dropped = 0
                continue
            if not self._down:
                self._down = True
                self._log.error(Event.ALARM_TARGET_DOWN, address=self._address, code="D974", status=code)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _send(self, alarm: Alarm) -> int:
        """0 when it was taken; otherwise the status of the answer, or -1 without one."""
        body = orjson.dumps(
            {
                "gateway": self._gateway,
                "alarm": alarm.name,
                "state": alarm.state,
                "severity": alarm.severity,
                "says": alarm.says,
                "at": alarm.at.isoformat(),
                "count": alarm.count,
                "about": dict(alarm.about),
            }
        )
        # The beginning and the end are two messages of one alarm.
        name, at = f"{alarm.id}.{alarm.state}", int(self._clock().timestamp())
        headers = {
            "webhook-id": name,
            "webhook-timestamp": str(at),
            "webhook-signature": sign(self._key.reveal(), name, at, body),
        }
        try:
            reply = await self._caller.ask("POST", "", body, "application/json", self._caller.deadline(), headers)
        except (DeliveryError, OSError):
            return -1
        return 0 if reply.success else reply.status


class Heartbeat:
    """
    Says every minute that the gateway is well, to something else that raises the alarm when nobody says so any more.

    Args:
        well: whether it is: messages can be taken, and somebody looks at the accounts.
    """

    def __init__(
        self,
        *,
        url: str,
        well: Callable[[], bool],
        clock: Clock,
        log: Log,
        gateway: str = "",
        every: float = 60.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._caller = Caller(base=url, accept="*/*", timeout=min(_TIMEOUT, every), concurrency=1, context=context)
        self._well = well
        self._clock = clock
        self._log = log
        self._gateway = gateway
        self._every = every
        self._failed = False
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to beat."""
        await self._caller.open()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Beat no more. Whoever stops the gateway for longer tells the watch outside."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._caller.close()

    async def _run(self) -> None:
        while True:
            if self._well():
                await self._beat()
            await asyncio.sleep(self._every)

    async def _beat(self) -> None:
        body = orjson.dumps({"gateway": self._gateway, "at": self._clock().isoformat()})
        try:
            reply = await self._caller.ask("POST", "", body, "application/json", self._caller.deadline())
            status = 0 if reply.success else reply.status
        except (DeliveryError, OSError):
            status = -1
        if status and not self._failed:
            self._log.error(Event.HEARTBEAT_FAILED, code="D975", status=status)
        elif not status and self._failed:
            self._log.info(Event.HEARTBEAT_BACK)
        self._failed = bool(status)
