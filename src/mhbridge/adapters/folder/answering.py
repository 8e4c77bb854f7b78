"""
What is answered to claimed files: whole, in parts of which each is durable before the next, together, or unpacked.

This module must never move a file, never hold a large one in memory, and never let a name from outside be a path or a
log entry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias, cast
from zipfile import ZipFile, ZipInfo

from mhbridge.adapters.folder.opened import as_one, looks, size
from mhbridge.adapters.folder.progress import Progress, Taken
from mhbridge.adapters.folder.together import Group, grouped
from mhbridge.errors import MalformedMessage
from mhbridge.formats.archive import Limits, is_archive, looked_through, unpack
from mhbridge.formats.several import base_name
from mhbridge.model import NOTHING_BEFORE, Answer, Before, Envelope, Verdict
from mhbridge.ports import Clock, Receive

if TYPE_CHECKING:
    from mhbridge.formats import Gathering, Part

__all__ = ["Answering", "Parts"]

Parts: TypeAlias = "Callable[[BinaryIO, Before], Iterator[Part] | None]"
"""A file, open, and where to go on → its parts, or `None` when it is one envelope, whole."""

#: How far a large file was taken is written down after so many parts.
_NOTED: Final = 50


@dataclass(frozen=True, kw_only=True)
class Answering:
    """
    Has files received.

    Each of its answers is `None` when the gateway stops in the middle of what was given.

    Args:
        folder: where what is unpacked lies, in files that have no name and end with us.
        stop: set when the gateway stops.
        parts, gatherings, limit, archives: as `FolderReceiver` has them.
    """

    supplier: str
    feed: str
    receive: Receive
    refuse: Callable[[str, str], Awaitable[None]]
    clock: Clock
    folder: Path
    progress: Progress
    stop: asyncio.Event
    parts: Parts | None
    gatherings: Callable[[], Sequence[Gathering]]
    limit: int
    archives: Limits

    async def alone(self, name: str, file: BinaryIO) -> Answer | None:
        """To a file by itself."""
        if await asyncio.to_thread(is_archive, file):
            return await self._unpacked(name, file)
        if self.parts is not None:
            looked = looks((file,))
            taken = await asyncio.to_thread(self.progress.of, name, looked)
            parts = await asyncio.to_thread(self.parts, file, taken.upto)
            if parts is not None:
                answer = await self._in_parts(parts, taken, name, looked)
                if answer is not None or self.stop.is_set():
                    return answer
        return await self._whole(file)

    async def together(
        self, group: Group, files: Mapping[str, tuple[str, BinaryIO]], *, noted: bool = True
    ) -> Answer | None:
        """
        To files that belong together.

        Args:
            files: what each is → its name, and the file.
            noted: how far they were taken is kept.
        """
        name = group.name if noted else ""
        looked = looks(file for _, file in files.values())
        taken = await asyncio.to_thread(self.progress.of, name, looked) if noted else Taken()
        parts = await asyncio.to_thread(group.gathering.parts, files, taken.upto, self._spill)
        if parts is not None:
            return await self._in_parts(parts, taken, name, looked)
        if sum(size(file) for _, file in files.values()) > self.limit:
            return await self._refused("D917", "The files are larger than is accepted here.")
        return await self._answered(await asyncio.to_thread(as_one, files))

    # --- archives ---

    async def _unpacked(self, name: str, file: BinaryIO) -> Answer | None:
        """
        The worst of the answers to the members of an archive, which says whose it is.

        After a stop all of them are received again, and those that were taken are repeats.
        """
        try:
            return await self._members(name, file)
        except MalformedMessage as error:
            return await self._refused(error.code, f"{error.message}.")

    async def _members(self, name: str, file: BinaryIO) -> Answer | None:
        members = await asyncio.to_thread(looked_through, file, self.archives)
        taken, archive = Taken(), await asyncio.to_thread(ZipFile, file)
        bases = {base_name(member.filename): member for member in members}
        # Two members of one name in different folders are nobody's set.
        groups, _ = grouped(self.gatherings(), bases if len(bases) == len(members) else ())
        for group in groups:
            own = replace(group, key=f"{name}/{group.key}")
            answer = await self._members_together(own, archive, bases)
            if answer is None:
                return None
            taken = taken.further(NOTHING_BEFORE, answer)
        together = {bases[base].filename for group in groups for base in group.files.values()}
        for number, member in enumerate(members, 1):
            if member.filename in together:
                continue
            with self._spill() as unpacked:
                await asyncio.to_thread(unpack, archive, member, unpacked)
                answer = None if self.stop.is_set() else await self._member(unpacked)
            if answer is None:
                return None
            if answer.verdict is not Verdict.ACCEPTED:
                answer = replace(answer, text=f"Member {number}: {answer.text}")
            taken = taken.further(NOTHING_BEFORE, answer)
        if taken.worst is None:
            raise MalformedMessage("D976", "the archive is refused: there is no file in it")
        return taken.worst

    async def _members_together(self, group: Group, archive: ZipFile, bases: Mapping[str, ZipInfo]) -> Answer | None:
        """Members that belong together. There is nothing to wait for: an archive is whole."""
        with ExitStack() as stack:
            files: dict[str, tuple[str, BinaryIO]] = {}
            for role, base in group.files.items():
                unpacked = stack.enter_context(self._spill())
                await asyncio.to_thread(unpack, archive, bases[base], unpacked)
                files[role] = base, unpacked
            return None if self.stop.is_set() else await self.together(group, files, noted=False)

    async def _member(self, file: BinaryIO) -> Answer | None:
        """As a file by itself, but how far it was taken is not kept."""
        parts = None if self.parts is None else await asyncio.to_thread(self.parts, file, NOTHING_BEFORE)
        if parts is not None:
            answer = await self._in_parts(parts, Taken())
            if answer is not None or self.stop.is_set():
                return answer
        return await self._whole(file)

    def _spill(self) -> BinaryIO:
        return cast("BinaryIO", TemporaryFile(dir=self.folder))

    # --- one file ---

    async def _whole(self, file: BinaryIO) -> Answer:
        if size(file) > self.limit:
            return await self._refused("D917", "The file is larger than is accepted here.")
        file.seek(0)
        return await self._answered(await asyncio.to_thread(file.read))

    async def _in_parts(
        self, parts: Iterator[Part], taken: Taken, name: str = "", looked: tuple[int, ...] = ()
    ) -> Answer | None:
        """
        The worst of the answers to its parts; `None` also when it has none.

        Args:
            name: by which it is kept how far the file was taken; empty: it is not.
        """
        number = 0
        try:
            while (part := await asyncio.to_thread(next, parts, None)) is not None:
                if self.stop.is_set():
                    if name:
                        await asyncio.to_thread(self.progress.note, name, looked, taken)
                    return None
                taken = taken.further(part.after, await self._answered(part.body, part.before))
                number += 1
                if name:
                    self.progress.keep(name, taken)
                    if number % _NOTED == 0:
                        await asyncio.to_thread(self.progress.note, name, looked, taken)
        except MalformedMessage as error:
            return await self._refused(error.code, f"{error.message}.")
        return taken.worst

    async def _answered(self, body: bytes, before: Before = NOTHING_BEFORE) -> Answer:
        envelope = Envelope(body, self.supplier, self.feed, self.clock(), "folder", before=before)
        return cast("Answer", await self.receive(envelope))

    async def _refused(self, code: str, text: str) -> Answer:
        await self.refuse(self.feed, code)
        return Answer(Verdict.REJECTED, text, self.clock(), code)
