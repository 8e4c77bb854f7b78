"""
Which patients are this node's, where several gateways share one store.

    renew    long before a lease ends; what is not renewed in time ends by the node's own clock, whoever else is asked
    take     what nobody holds, up to a fair share; what the dead were sending is looked up when it must have arrived
    leave    what is more than a fair share, or what another needs, when nothing of it is in hand
    send     only while the lease runs, which is looked at right before each send

The store refuses whatever acts for a part whose lease is another's: that keeps the store right. That no receiver gets
something from two nodes is kept by the clock here and by the wait of whoever takes over. This module must never send,
and never works a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final

from mhbridge.errors import StoreError
from mhbridge.log import Event, Log, where
from mhbridge.model import Key
from mhbridge.ports import LEADING, PARTS, Clock, Holding, SharedStore, part_of

__all__ = ["SETTLE", "Parts"]

#: After a request's own deadline, so long a lost one may still be executed before anybody looks.
SETTLE: Final = 5.0

#: So many times within a lease it is renewed: one or two renewals may fail.
_RENEWALS: Final = 4
#: Of a lease so much is not used: from the look at the clock to the bytes on their way is time, too.
_MARGIN: Final = 0.15
#: What was asked for, for a merge, is not given up for so many leases.
_KEPT: Final = 3


class Parts:
    """
    The parts that this node holds.

    Args:
        lease: seconds.
        quiet: so long after a part was taken from somebody who had not given it up nothing of what was being sent is
            looked up, and nothing behind it is sent: as long as a request may take to be carried out, or not to.
        elapsed: seconds that only ever go forward, and also while the process stands still.
        every: seconds between renewals.
    """

    def __init__(
        self,
        *,
        store: SharedStore,
        lease: float,
        quiet: float,
        clock: Clock,
        log: Log,
        elapsed: Callable[[], float],
        every: float | None = None,
    ) -> None:
        self._store = store
        self._lease = lease
        self._quiet = quiet
        self._clock = clock
        self._log = log
        self._elapsed = elapsed
        self._every = lease / _RENEWALS if every is None else every
        #: Parts of which something is in hand; asked before any is given up.
        self.in_hand: Callable[[], Collection[int]] = tuple
        #: Called when something may be due.
        self.wake: Callable[[], None] = lambda: None
        self._holding = Holding()
        #: Part → when its lease ends, by this node's own clock.
        self._ends: dict[int, float] = {}
        #: Parts that were taken, and what was being sent in them is not yet seen to; whether they were given up.
        self._taken: dict[int, bool] = {}
        self._working: frozenset[int] = frozenset()
        self._leaving: set[int] = set()
        #: Part that others hold, or that was asked for → until when it is wanted.
        self._wanted: dict[int, float] = {}
        #: Nodes that are said to be gone, and those of which nobody says so.
        self._told: set[str] = set()
        self._sure: set[str] = set()
        #: Until when it is said that another gateway has this one's name; `None`: nobody was told.
        self._namesake: float | None = None
        self._renewed = False
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # --- open and close ---

    async def open(self) -> None:
        """
        Take a share, and keep it.

        Raises:
            StoreError: the store cannot be asked.
        """
        self._store.listen(self._heard)
        await self.look()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """
        Give up what is held: whoever takes it need not wait. Nothing is worked or sent any more.

        A part in which something is still in hand is not given up: whoever takes it must look it up.
        """
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        # Of what was just taken nothing was seen to: that is for the next to do, too.
        leave = self._held - set(self.in_hand()) - self._taken.keys()
        self._adopt(Holding(nodes=self._holding.nodes), 0.0)
        try:
            await self._store.resign(leave)
        except StoreError as error:
            # They end by themselves.
            self._log.warning(Event.STORE_FAILED, code=error.code)

    # --- what others ask ---

    @property
    def node(self) -> str:
        """What this node is called."""
        return self._store.node

    @property
    def held(self) -> frozenset[int]:
        """The parts whose leases run."""
        now = self._elapsed()
        return frozenset(part for part, end in self._ends.items() if now < end)

    @property
    def working(self) -> frozenset[int]:
        """Those of them for which something is begun: they are not about to be given up."""
        return self._working & self.held

    @property
    def nodes(self) -> Mapping[str, int]:
        """Node → how many parts it holds, at the last renewal; of this one, how many leases run."""
        return {**self._holding.nodes, self.node: len(self.held)}

    @property
    def unheld(self) -> int:
        """Parts that nobody holds, as this node knows it: they wait."""
        return PARTS - min(sum(self.nodes.values()), PARTS)

    @property
    def leads(self) -> bool:
        """Whether what is to be done once for all is done here."""
        return self.holds(LEADING)

    def holds(self, part: int) -> bool:
        """Whether the lease of a part runs."""
        end = self._ends.get(part)
        return end is not None and self._elapsed() < end

    async def hold(self, patients: Sequence[Key]) -> bool:
        """Whether all of these patients are this node's, and not about to be given up."""
        return self.hold_parts(await self._store.parts_of(patients)) if patients else True

    def hold_parts(self, parts: Collection[int]) -> bool:
        """Whether all of these parts are."""
        return all(part in self._working and self.holds(part) for part in parts)

    def may_send(self, patient: int) -> bool:
        """Asked right before each send: whether the lease of a patient's part still runs."""
        part = part_of(patient)
        return part in self._working and self.holds(part)

    async def hold_or_want(self, patients: Sequence[Key], also: Collection[int]) -> bool:
        """
        Whether these patients, and these parts, are all this node's. What needs several that are not, as a merge does,
        has them asked for.
        """
        parts = {*await self._store.parts_of(patients), *also}
        if self.hold_parts(parts):
            return True
        if len(parts) > 1:
            self.want(parts)
        return False

    def want(self, parts: Collection[int]) -> None:
        """What is to be done needs all of these parts here."""
        until = self._elapsed() + _KEPT * self._lease
        for part in parts:
            # Not for longer because it is asked for again: others may need it, too.
            self._wanted.setdefault(part, until)
        self._woken.set()

    # --- renewing ---

    async def look(self) -> None:
        """Renew once, and do what follows from it."""
        begun = self._elapsed()
        self._wanted = {part: until for part, until in self._wanted.items() if until > begun}
        leave = self._leaving & self._held - set(self.in_hand())
        want = self._wanted.keys() - self._held
        holding = await self._store.renew(self._lease, leave=leave, want=want)
        lost = self._held - leave - holding.held.keys()
        if lost:
            self._log.warning(Event.LEASES_LOST, count=len(lost), code="S260")
        self._adopt(holding, begun + self._lease * (1 - _MARGIN))
        self._balance()
        if holding.taken or lost or leave:
            self._log.info(Event.PARTS_HELD, parts=len(holding.held), nodes=len(holding.nodes))
        await self._take_over()
        await self._tell(holding)
        await self._tell_of_namesake(holding)
        self._work()
        self.wake()

    @property
    def _held(self) -> set[int]:
        return set(self._holding.held)

    def _adopt(self, holding: Holding, end: float) -> None:
        self._holding = holding
        self._ends = dict.fromkeys(holding.held, end)
        self._taken = {part: left for part, left in (self._taken | dict(holding.taken)).items() if part in holding.held}
        self._leaving &= holding.held.keys()
        self._work()

    def _work(self) -> None:
        held = self._holding.held
        self._working = frozenset(held.keys() - self._leaving - self._taken.keys())
        self._store.work_for(held, self._working)

    def _balance(self) -> None:
        """What another needs, or what is more than a fair share, is to be left."""
        holding = self._holding
        # Where two need what the other has, whoever has the lower one keeps it, and the other gives way.
        lacking = min(self._wanted.keys() - self._held, default=PARTS)
        self._leaving |= {part for part in holding.wanted if part not in self._wanted or part > lacking}
        share = -(-PARTS // max(len(holding.nodes), 1))
        surplus = len(holding.held) - len(self._leaving) - share
        if surplus <= 0:
            return
        busy = set(self.in_hand())
        # Whoever leads goes on leading, and what is idle goes first.
        free = [
            part for part in holding.held if part not in self._leaving and part not in self._wanted and part != LEADING
        ]
        self._leaving.update(sorted(free, key=lambda part: (part in busy, -part))[:surplus])

    async def _take_over(self) -> None:
        """What was being sent by somebody who is gone may arrive yet: it is looked up when it must have."""
        now = self._clock()
        for left, until in ((True, now), (False, now + timedelta(seconds=self._quiet))):
            parts = [part for part, was_left in self._taken.items() if was_left is left and self.holds(part)]
            if parts and (found := await self._store.take_over(parts, now, until)):
                self._log.warning(Event.RECOVERED, count=found)
            for part in parts:
                self._taken.pop(part, None)

    async def _tell(self, holding: Holding) -> None:
        """Whoever leads says which nodes are gone, and makes it somebody's task."""
        if not self.leads:
            self._told.clear()
            self._sure.clear()
            return
        now = self._clock()
        for node, since in holding.lost.items():
            gone = (now - since).total_seconds()
            # A short one is nobody's task: it may be back before anybody has looked.
            if node not in self._told and gone >= self._lease:
                await self._store.raise_task("node", "D990", now, name=node)
                self._log.error(Event.NODE_LOST, node=node, code="D990", seconds=round(gone))
                self._told.add(node)
                self._sure.discard(node)
        for node in holding.nodes:
            if node in self._told:
                await self._store.close_task("node", "it is back", now, name=node)
                self._log.info(Event.NODE_BACK, node=node)
                self._told.discard(node)
            elif node not in self._sure:
                # Whoever led before may have said that it is gone.
                await self._store.close_task("node", "it is back", now, name=node)
            self._sure.add(node)

    async def _tell_of_namesake(self, holding: Holding) -> None:
        """
        Two gateways of one name keep apart, since a lease is of one life; but they take turns in being counted, so each
        thinks itself alone, and when one of them dies nobody misses it.
        """
        # The life before this one may have renewed last.
        first, self._renewed = not self._renewed, True
        now = self._elapsed()
        if holding.namesake and not first:
            if self._namesake is None:
                await self._store.raise_task("namesake", "D995", self._clock(), name=self.node)
                self._log.error(Event.NODE_NAMESAKE, node=self.node, code="D995")
            self._namesake = now + 2 * self._lease
        elif self._namesake is not None and now > self._namesake:
            await self._store.close_task("namesake", "it has the name alone", self._clock(), name=self.node)
            self._namesake = None

    def _heard(self, given_up: bool) -> None:
        if given_up:
            # Whoever gave something up need not be waited for.
            self._woken.set()
        self.wake()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                async with asyncio.timeout(self._every):
                    await self._woken.wait()
            except TimeoutError:
                pass
            try:
                await self.look()
            except StoreError as error:
                # What cannot be renewed ends by the clock here: `holds` says so, whoever else is asked.
                self._log.error(Event.STORE_FAILED, code=error.code)
            except Exception as error:  # noqa: BLE001  whatever it is, leases must be renewed
                self._log.critical(Event.FAILED, kind="parts", **where(error))
