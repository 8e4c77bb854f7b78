"""
Files from a folder: claimed, received, put away.

    folder ──rename──▶ .claimed ──received, durable──▶ archive | rejected (with the reason beside it)

A process that ends anywhere leaves a file where it was or in `.claimed`; the next start receives it again, and the
gateway takes for a repeat what it has taken. A large file is received in parts, each of which is durable before the
next, and gone on with where it was left. Files that belong together wait for each other in the folder, and are received
and put away together. What is answered is said by `answering`, and `shelves` puts away. This module must never delete
a file that it did not make, and never let a name from outside be a path or a log entry.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mhbridge.adapters.folder.answering import Answering, Parts
from mhbridge.adapters.folder.disk import make_folders
from mhbridge.adapters.folder.opened import digest, looks, open_claimed
from mhbridge.adapters.folder.progress import Progress
from mhbridge.adapters.folder.shelves import ARCHIVE, CLAIMED, REJECTED, Shelves
from mhbridge.adapters.folder.together import Group, Waiting, grouped
from mhbridge.adapters.folder.watching import Settling, regular_files
from mhbridge.errors import StoreError
from mhbridge.formats.archive import ORDINARY, Limits, is_set_aside
from mhbridge.log import Event, Log, where
from mhbridge.ports import Clock, Files, Receive

if TYPE_CHECKING:
    from mhbridge.formats import Gathering

__all__ = ["FolderReceiver"]


class FolderReceiver:
    """
    Watches a folder. A complete file is claimed, received, and put away.

    What was taken goes to `archive`, what was refused to `rejected` with the reason beside it. While the store fails, a
    claimed file waits. A crash anywhere leaves it claimed; the next start receives it again, which the gateway sees to
    be a repeat if it was taken.

    Args:
        parts: takes a large file to pieces; left out, every file is one envelope.
        gatherings: which files belong together, asked at every look; left out, none do.
        pattern: which names are looked at (`*.csv`); hidden and unfinished ones (`.x`, `x.part`) never are.
        settle: seconds without change, seen at least twice, after which a file is complete.
        marker: an ending such as `.done`; given, a file is complete when one of its name with this ending is there.
        every: seconds between looks.
        limit: bytes of an envelope; a file that comes in parts may be larger.
        archives: what a ZIP file may be, each of whose members is received like a file.
    """

    def __init__(
        self,
        *,
        supplier: str,
        feed: str,
        path: Path,
        receive: Receive,
        refuse: Callable[[str, str], Awaitable[None]],
        files: Files,
        clock: Clock,
        log: Log,
        parts: Parts | None = None,
        gatherings: Callable[[], Sequence[Gathering]] = tuple,
        pattern: str = "*",
        settle: float = 5.0,
        marker: str = "",
        every: float = 2.0,
        limit: int = 200_000_000,
        archives: Limits = ORDINARY,
    ) -> None:
        self._feed = feed
        self._path = path
        self._claimed = path / CLAIMED
        self._files = files
        self._clock = clock
        self._log = log
        self._gatherings = gatherings
        self._marker = marker
        self._every = every
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._progress = Progress(self._claimed, files)
        self._waiting = Waiting(self._claimed, files)
        self._settling = Settling(path, pattern=pattern, settle=settle, marker=marker)
        self._shelves = Shelves(path, marker=marker, files=files, progress=self._progress, waiting=self._waiting)
        self._answering = Answering(
            supplier=supplier,
            feed=feed,
            receive=receive,
            refuse=refuse,
            clock=clock,
            folder=self._claimed,
            progress=self._progress,
            stop=self._stop,
            parts=parts,
            gatherings=gatherings,
            limit=limit,
            archives=archives,
        )
        #: What the disk will not do, as it was said; a fault that lasts is said once.
        self._faults: dict[str, str] = {}

    @property
    def address(self) -> str:
        """The folder."""
        return str(self._path)

    async def open(self) -> None:
        """Make the folders where they are missing, and begin to watch."""
        if await asyncio.to_thread(self._prepare):
            # It may be a name that is misspelt, and what is sent to the right one would be missed by nobody.
            self._log.warning(Event.FOLDER_MADE, feed=self._feed, kind="folder", address=self.address)
        self._stop.clear()
        self._task = asyncio.create_task(self._watch())
        self._log.info(Event.LISTENING, feed=self._feed, kind="folder", address=self.address)

    async def close(self) -> None:
        """Finish what is in hand (of a large file the part), and watch no more."""
        self._stop.set()
        if self._task is not None:
            await self._task
            self._task = None

    def _prepare(self) -> bool:
        """Whether the folder was not there."""
        missing = not self._path.is_dir()
        make_folders(self._path, CLAIMED, ARCHIVE, REJECTED)
        claimed = regular_files(self._claimed)
        groups, _ = grouped(self._gatherings(), claimed)
        self._progress.end_others((*claimed, *(group.name for group in groups)))
        return missing

    async def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                await self._round()
            except StoreError:
                # Said by the gateway. What is claimed stays so until the store is back.
                pass
            except OSError as error:
                self._fault("", error)
            except Exception as error:  # noqa: BLE001  the folder must go on being watched
                self._log.critical(Event.FAILED, feed=self._feed, **where(error))
            else:
                self._faults.pop("", None)
            try:
                async with asyncio.timeout(self._every):
                    await self._stop.wait()
            except TimeoutError:
                continue

    def _fault(self, name: str, error: OSError) -> None:
        """Say what the disk will not do, once for as long as it lasts."""
        said = f"{type(error).__name__} {error.errno}"
        if self._faults.get(name) != said:
            self._faults[name] = said
            self._log.critical(Event.FAILED, feed=self._feed, code="D953", **where(error))

    async def _round(self) -> None:
        """Receive what is claimed, then claim what is complete, then what belongs together."""
        await asyncio.to_thread(self._shelves.put_rest_away)
        gatherings = self._gatherings()
        left = await asyncio.to_thread(self._left)
        for name in grouped(gatherings, left)[1]:
            await self._take(name)
        complete = await asyncio.to_thread(lambda: self._settling.complete(time.monotonic()))
        for name in grouped(gatherings, complete)[1]:
            if self._stop.is_set():
                return
            if await asyncio.to_thread(self._claim, name):
                await self._take(name)
        if gatherings:
            await self._round_of_groups(gatherings, left, complete)

    async def _round_of_groups(self, gatherings: Sequence[Gathering], left: list[str], complete: list[str]) -> None:
        """Files that belong together, of which an earlier process may have claimed some."""
        groups, _ = grouped(gatherings, dict.fromkeys((*left, *complete)))
        # Whoever was seen only now is not settled yet, and may wait since long before this process.
        there = await asyncio.to_thread(lambda: [*regular_files(self._path), *left])
        waiting = [group for group in grouped(gatherings, there)[0] if group.lacks]
        await asyncio.to_thread(self._waiting.forget_others, waiting)
        for group in groups:
            if self._stop.is_set():
                return
            if group.lacks and not await asyncio.to_thread(self._waiting.is_due, group, self._clock()):
                continue
            if await asyncio.to_thread(self._claim_all, group, frozenset(left)):
                await self._take(group)

    def _left(self) -> list[str]:
        """What an earlier round, or an earlier process, has claimed and not put away; the oldest first."""
        names = [name for name in regular_files(self._claimed) if not is_set_aside(name)]
        if not self._marker:
            return names
        # A marker is claimed before its file and put away before it, so one without a file was the last thing done.
        files = {name: None for name in names if not name.endswith(self._marker)}
        for marker in (name for name in names if name.endswith(self._marker)):
            name = marker.removesuffix(self._marker)
            if name and name not in files:
                if self._claim_file(name):
                    files[name] = None
                else:
                    self._shelves.put_marker_away(name)
        return list(files)

    # --- claim ---

    def _claim(self, name: str) -> bool:
        if self._marker:
            try:
                self._files.rename(self._path / f"{name}{self._marker}", self._claimed / f"{name}{self._marker}")
            except FileNotFoundError:
                return False
        return self._claim_file(name)

    def _claim_all(self, group: Group, left: frozenset[str]) -> bool:
        """Whether all its files are ours; one that its sender has taken away meanwhile is waited for again."""
        return all(name in left or self._claim(name) for name in group.files.values())

    def _claim_file(self, name: str) -> bool:
        claimed = self._claimed / name
        if claimed.exists():
            # An earlier file of this name could not be put away; a rename would be its end.
            return False
        try:
            self._files.rename(self._path / name, claimed)
        except FileNotFoundError:
            # Whoever put it there has taken it away again.
            return False
        self._settling.forget(name)
        return True

    # --- take ---

    async def _take(self, what: str | Group) -> None:
        """
        A claimed file, or some that belong together.

        What the disk will not give up is left, said once, and does not stop the others.
        """
        name = what if isinstance(what, str) else what.name
        try:
            await (self._receive_claimed(what) if isinstance(what, str) else self._receive_group(what))
        except OSError as error:
            self._fault(name, error)
        else:
            self._faults.pop(name, None)

    async def _receive_group(self, group: Group) -> None:
        """From the bytes of files that belong together to the folders where they end."""
        files: dict[str, BinaryIO] = {}
        try:
            for role, name in group.files.items():
                files[role] = await asyncio.to_thread(open_claimed, self._claimed / name)
            looked = looks(files.values())
            named = {role: (group.files[role], file) for role, file in files.items()}
            answer = await self._answering.together(group, named)
            if answer is None:
                return
            digests = {group.files[role]: await asyncio.to_thread(digest, file) for role, file in files.items()}
            if looks(files.values()) != looked:
                self._progress.forget(group.name)
                return
        finally:
            for file in files.values():
                file.close()
        await asyncio.to_thread(self._waiting.answered, group, digests, answer)
        await asyncio.to_thread(self._shelves.put_rest_away)

    async def _receive_claimed(self, name: str) -> None:
        """From its bytes to the folder where it ends."""
        file = await asyncio.to_thread(open_claimed, self._claimed / name)
        try:
            looked = looks((file,))
            answer = await self._answering.alone(name, file)
            if answer is None:
                return
            of = await asyncio.to_thread(digest, file)
            if looks((file,)) != looked:
                # Whoever put it there is still writing to it: what was received is not what it says by now.
                self._progress.forget(name)
                return
        finally:
            file.close()
        await asyncio.to_thread(self._shelves.put_away, name, of, answer)
