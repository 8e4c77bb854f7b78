"""
Messages from a mailbox: downloaded, received, and acknowledged only when they are durable here.

    mailbox ──download──▶ received, durable ──acknowledge──▶ gone for ever

To acknowledge takes a message out of MESH for ever, so what the gateway does not keep stays there, and whoever sent it
hears after five days that nobody has collected it; that it lies there is somebody's task before. A process that ends
anywhere leaves the message in the mailbox, and the gateway takes for a repeat what it has taken. Reports of what was
not delivered come the same way and are no documents. This module must never acknowledge what was not committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

from mhbridge.adapters.mesh.heads import Head
from mhbridge.adapters.mesh.mailbox import Gone, Mailbox
from mhbridge.errors import DeliveryError, MalformedMessage, StoreError
from mhbridge.log import Event, Log, where
from mhbridge.model import Envelope
from mhbridge.ports import Clock, Committed, Notes, Report

__all__ = ["MeshReceiver", "Mine"]

#: A message that was left in the mailbox is looked at again after so many seconds.
_AGAIN: Final = 3600.0
#: So many failures running, of whatever messages, are a failure of the mailbox.
_FAILURES: Final = 3
#: Not even a connection could be made.
_NOT_REACHED: Final = "D940"
#: Pages of one round. A mailbox that always has one more is not believed.
_PAGES: Final = 200


@dataclass(frozen=True, slots=True)
class Mine:
    """
    Which messages of a mailbox a receiver takes.

    Args:
        workflows: of these; empty: of any.
        senders: from these mailboxes; empty: from any.
    """

    workflows: Collection[str] = ()
    senders: Collection[str] = ()

    def __contains__(self, head: Head) -> bool:
        return (not self.workflows or head.workflow in self.workflows) and (
            not self.senders or head.sender in self.senders
        )

    @property
    def every(self) -> bool:
        """All are taken."""
        return not self.workflows and not self.senders


class _Left(NamedTuple):
    """
    Of a message that is left in the mailbox.

    Args:
        again: when to look at it once more, on the event loop's clock.
        lasts: it is not only that MESH did not give it this once.
    """

    again: float
    lasts: bool


class MeshReceiver:
    """
    Polls a mailbox.

    Args:
        take: what takes an envelope and makes it durable.
        refuse: told what could not even be read.
        notes: told of reports, and of what is not taken.
        mine: which messages are taken; left out, all. What is another receiver's, one of `others`, is let be.
        shut: why nothing can be taken now; not empty: the mailbox is not polled.
        polls: whether this gateway polls, where several share the store.
        every: seconds between polls; a mailbox that has more than it showed is asked again at once.
        limit: bytes of a message.
    """

    def __init__(
        self,
        *,
        supplier: str,
        feed: str,
        mailbox: Mailbox,
        take: Callable[[Envelope], Awaitable[Committed]],
        refuse: Callable[[str, str], Awaitable[None]],
        notes: Notes,
        clock: Clock,
        log: Log,
        mine: Mine | None = None,
        others: Collection[Mine] = (),
        shut: Callable[[], str] = str,
        polls: Callable[[], bool] = lambda: True,
        every: float = 300.0,
        limit: int = 100_000_000,
    ) -> None:
        self._supplier = supplier
        self._feed = feed
        self._mailbox = mailbox
        self._take = take
        self._refuse = refuse
        self._notes = notes
        self._clock = clock
        self._log = log
        self._mine = mine or Mine()
        self._others = tuple(others)
        self._shut = shut
        self._polls = polls
        self._every = every
        self._limit = limit
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        #: The last poll was answered; not known before the first.
        self._reached: bool | None = None
        self._left: dict[str, _Left] = {}
        #: Whether there is a task about that; what it is after a start is not known.
        self._told: bool | None = None

    @property
    def address(self) -> str:
        """The mailbox."""
        return self._mailbox.id

    @property
    def connected(self) -> int:
        """1 where the last poll was answered."""
        return int(bool(self._reached))

    async def open(self) -> None:
        """Begin to poll."""
        await self._mailbox.open()
        self._stop.clear()
        self._task = asyncio.create_task(self._watch())
        self._log.info(Event.LISTENING, feed=self._feed, kind="mesh", address=self.address)

    async def close(self) -> None:
        """Finish the message in hand, and poll no more."""
        self._stop.set()
        if self._task is not None:
            try:
                await self._task
            finally:
                self._task = None
                await self._mailbox.close()

    async def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                if not self._shut() and self._polls():
                    await self.poll()
            except StoreError:
                # Said by the gateway. What was not committed lies in the mailbox until the store is back.
                pass
            except Exception as error:  # noqa: BLE001  the mailbox must go on being polled
                self._log.critical(Event.FAILED, feed=self._feed, **where(error))
            try:
                async with asyncio.timeout(self._every):
                    await self._stop.wait()
            except TimeoutError:
                continue

    async def poll(self) -> None:
        """Take all that is in the mailbox now. Raises `StoreError`."""
        try:
            await self._mailbox.greet()
            await self._round()
        except DeliveryError as error:
            if self._reached is not False:
                self._log.error(Event.MAILBOX_DOWN, feed=self._feed, code="D981", error=error.code)
            self._reached = False
            return
        if self._reached is False:
            self._log.info(Event.MAILBOX_BACK, feed=self._feed)
        self._reached = True

    async def _round(self) -> None:
        seen: set[str] = set()
        after, failures = "", 0
        for _ in range(_PAGES):
            ids, after = await self._mailbox.inbox(after)
            # What could not be had before comes last, so that it keeps nothing else waiting.
            new = sorted((one for one in dict.fromkeys(ids) if one not in seen), key=self._left.__contains__)
            seen.update(new)
            for one in new:
                if self._stop.is_set() or self._shut():
                    return
                failures = await self._one(one, failures)
            if not after or not new:
                # What is left and not there any more was taken by somebody else, or has expired.
                self._left = {one: why for one, why in self._left.items() if one in seen}
                await self._tell()
                return

    async def _one(self, message: str, failures: int) -> int:
        """
        One message, whatever is wrong with it; how many have failed running.

        Raises:
            DeliveryError: it is the mailbox that fails, and not the message.
            StoreError: nothing can be taken now.
        """
        now = asyncio.get_running_loop().time()
        if message in self._left and self._left[message].again > now:
            return failures
        try:
            code = await self._received(message)
        except Gone:
            code = ""
        except MalformedMessage as error:
            await self._refuse(self._feed, error.code)
            code = error.code
        except DeliveryError as error:
            # It may be the message, and it may be all of them.
            self._left[message] = _Left(now, lasts=message in self._left)
            if error.code == _NOT_REACHED or failures + 1 == _FAILURES:
                await self._tell()
                raise
            return failures + 1
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  a fault of ours in one message stops no other
            self._log.critical(Event.FAILED, feed=self._feed, **where(error))
            code = "D984"
        if code:
            self._left[message] = _Left(now + _AGAIN, lasts=True)
        else:
            self._left.pop(message, None)
        return 0

    async def _received(self, message: str) -> str:
        """Why it stays in the mailbox; empty: it does not, or it is another receiver's."""
        if not self._mine.every:
            head = await self._mailbox.head(message)
            if not head.report and head not in self._mine:
                return "" if any(head in other for other in self._others) else "D984"
        head, body = await self._mailbox.retrieve(message, self._limit)
        if head.report:
            report = Report(head.id, head.linked, head.local_id, head.status)
            await self._notes.reported(self._feed, self._mailbox.id, report)
        else:
            committed = await self._take(
                Envelope(body, self._supplier, self._feed, self._clock(), "mesh", peer=head.sender)
            )
            if not committed.envelope:
                # Refused, and nothing of it was kept: the only copy lies in the mailbox.
                return committed.answer.code or "D984"
        await self._mailbox.acknowledge(message)
        return ""

    async def _tell(self) -> None:
        lasts = any(left.lasts for left in self._left.values())
        if lasts and self._told is not True:
            await self._notes.left(self._feed, "D984")
        elif not lasts and self._told is not False:
            await self._notes.cleared(self._feed)
        self._told = lasts
