"""
Files from a folder: claimed, received, put away.

    folder ──rename──▶ .claimed ──received, durable──▶ archive | rejected (with the reason beside it)

A process that ends anywhere leaves a file where it was or in `.claimed`; the next start receives it again, and the
gateway takes for a repeat what it has taken. A large file is received in parts, each of which is durable before the
next, and gone on with where it was left. Files that belong together wait for each other in the folder, and are received
and put away together. This module must never delete a file that it did not make, never hold a large
file in memory, and never let a name from outside be a path or a log entry.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO, Final, cast
from zipfile import ZipFile, ZipInfo

import orjson

from mhbridge.adapters.folder.disk import make_folders
from mhbridge.adapters.folder.together import Group, Waiting, grouped
from mhbridge.adapters.folder.watching import Settling, regular_files
from mhbridge.errors import MalformedMessage, StoreError, explanations
from mhbridge.formats.archive import ORDINARY, Limits, is_archive, is_set_aside, looked_through, unpack
from mhbridge.formats.several import File, base_name, written
from mhbridge.log import Event, Log, where
from mhbridge.model import NOTHING_BEFORE, Answer, Before, Envelope, Verdict
from mhbridge.ports import Clock, Files, Receive

if TYPE_CHECKING:
    from mhbridge.formats import Gathering, Part

__all__ = ["FolderReceiver"]

Parts = Callable[[BinaryIO, Before], "Iterator[Part] | None"]
"""A file, open, and where to go on → its parts, or `None` when it is one envelope, whole."""

_CLAIMED: Final = ".claimed"
_ARCHIVE: Final = "archive"
_REJECTED: Final = "rejected"
#: How far a large file was taken is written down after so many parts. It saves work and nothing depends on it.
_NOTED: Final = 50


@dataclass(frozen=True, slots=True)
class _Taken:
    """How far a claimed file was taken, and the worst of the answers so far."""

    upto: Before = NOTHING_BEFORE
    worst: Answer | None = None

    def further(self, upto: Before, answer: Answer) -> _Taken:
        worse = self.worst is None or _ORDER.index(answer.verdict) > _ORDER.index(self.worst.verdict)
        return _Taken(upto, answer if worse else self.worst)


_ORDER: Final = (Verdict.ACCEPTED, Verdict.REFUSED, Verdict.REJECTED)


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
        self._supplier = supplier
        self._feed = feed
        self._path = path
        self._claimed = path / _CLAIMED
        self._receive = receive
        self._refuse = refuse
        self._files = files
        self._clock = clock
        self._log = log
        self._parts = parts
        self._gatherings = gatherings
        self._waiting = Waiting(self._claimed, files)
        self._marker = marker
        self._every = every
        self._limit = limit
        self._archives = archives
        self._settling = Settling(path, pattern=pattern, settle=settle, marker=marker)
        #: What the disk will not do, as it was said; a fault that lasts is said once.
        self._faults: dict[str, str] = {}
        self._taken: dict[str, _Taken] = {}
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """The folder."""
        return str(self._path)

    async def open(self) -> None:
        """Make the folders where they are missing, and begin to watch."""
        await asyncio.to_thread(self._prepare)
        self._stop.clear()
        self._task = asyncio.create_task(self._watch())
        self._log.info(Event.LISTENING, feed=self._feed, kind="folder", address=self.address)

    async def close(self) -> None:
        """Finish what is in hand (of a large file the part), and watch no more."""
        self._stop.set()
        if self._task is not None:
            await self._task
            self._task = None

    def _prepare(self) -> None:
        make_folders(self._path, _CLAIMED, _ARCHIVE, _REJECTED)
        # Notes of files that were put away as the process ended.
        claimed = regular_files(self._claimed)
        groups, _ = grouped(self._gatherings(), claimed)
        wanted = {self._note_of(name) for name in (*claimed, *(group.name for group in groups))}
        for note in self._claimed.glob(".*.taken"):
            if note not in wanted:
                note.unlink(missing_ok=True)

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
        await asyncio.to_thread(self._put_rest_away)
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
                    self._put_marker_away(name)
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
                files[role] = await asyncio.to_thread(_open, self._claimed / name)
            looked = _looks(files.values())
            named = {role: (group.files[role], file) for role, file in files.items()}
            answer = await self._received_together(group, named)
            if answer is None:
                return
            digests = {group.files[role]: await asyncio.to_thread(_digest, file) for role, file in files.items()}
            if _looks(files.values()) != looked:
                self._taken.pop(group.name, None)
                return
        finally:
            for file in files.values():
                file.close()
        await asyncio.to_thread(self._waiting.answered, group, digests, answer)
        await asyncio.to_thread(self._put_rest_away)

    async def _received_together(
        self, group: Group, files: Mapping[str, tuple[str, BinaryIO]], *, noted: bool = True
    ) -> Answer | None:
        """What is answered to files that belong together; `None` when the gateway stops in the middle of them."""
        looked = _looks(file for _, file in files.values())
        taken = self._taken.get(group.name) if noted else None
        if taken is None:
            taken = await asyncio.to_thread(self._noted, group.name, looked) if noted else _Taken()
        parts = await asyncio.to_thread(group.gathering.parts, files, taken.upto, self._spill)
        if parts is not None:
            return await self._received_in_parts(group.name, looked, parts, taken, noted=noted)
        if sum(_look(file)[0] for _, file in files.values()) > self._limit:
            await self._refuse(self._feed, "D917")
            return Answer(Verdict.REJECTED, "The files are larger than is accepted here.", self._clock(), "D917")
        return await self._answered(await asyncio.to_thread(_as_one, files))

    def _spill(self) -> BinaryIO:
        return cast("BinaryIO", TemporaryFile(dir=self._claimed))

    async def _receive_claimed(self, name: str) -> None:
        """From its bytes to the folder where it ends."""
        file = await asyncio.to_thread(_open, self._claimed / name)
        try:
            looked = _look(file)
            answer = await self._received(name, file)
            if answer is None:
                return
            digest = await asyncio.to_thread(_digest, file)
            if _look(file) != looked:
                # Whoever put it there is still writing to it: what was received is not what it says by now.
                self._taken.pop(name, None)
                return
        finally:
            file.close()
        await asyncio.to_thread(self._put_away, name, digest, answer)

    async def _received(self, name: str, file: BinaryIO) -> Answer | None:
        """What is answered to a file; `None` when the gateway stops in the middle of it."""
        if await asyncio.to_thread(is_archive, file):
            return await self._received_unpacked(name, file)
        if self._parts is not None:
            taken = self._taken.get(name)
            if taken is None:
                taken = await asyncio.to_thread(self._noted, name, _looks((file,)))
            parts = await asyncio.to_thread(self._parts, file, taken.upto)
            if parts is not None:
                answer = await self._received_in_parts(name, _looks((file,)), parts, taken)
                if answer is not None or self._stop.is_set():
                    return answer
        return await self._received_whole(file)

    async def _received_unpacked(self, name: str, file: BinaryIO) -> Answer | None:
        """
        The worst of the answers to the members of an archive, which says whose it is.

        Each is unpacked into a file that has no name and ends with us. After a stop all of them are received again, and
        those that were taken are repeats.
        """
        try:
            return await self._received_members(name, file)
        except MalformedMessage as error:
            await self._refuse(self._feed, error.code)
            return Answer(Verdict.REJECTED, f"{error.message}.", self._clock(), error.code)

    async def _received_members(self, name: str, file: BinaryIO) -> Answer | None:
        members = await asyncio.to_thread(looked_through, file, self._archives)
        taken, archive = _Taken(), await asyncio.to_thread(ZipFile, file)
        numbers = {member.filename: number for number, member in enumerate(members, 1)}
        bases = {base_name(member.filename): member for member in members}
        # Two members of one name in different folders are nobody's set.
        groups, _ = grouped(self._gatherings(), bases if len(bases) == len(members) else ())
        for group in groups:
            answer = await self._received_members_together(name, group, archive, bases)
            if answer is None:
                return None
            taken = taken.further(NOTHING_BEFORE, answer)
        together = {bases[base].filename for group in groups for base in group.files.values()}
        for member in members:
            if member.filename in together:
                continue
            number = numbers[member.filename]
            with TemporaryFile(dir=self._claimed) as unpacked:
                await asyncio.to_thread(unpack, archive, member, unpacked)
                if self._stop.is_set():
                    return None
                answer = await self._received_member(f"{name}/{number}", unpacked)
            if answer is None:
                return None
            if answer.verdict is not Verdict.ACCEPTED:
                answer = replace(answer, text=f"Member {number}: {answer.text}")
            taken = taken.further(NOTHING_BEFORE, answer)
        if taken.worst is None:
            raise MalformedMessage("D976", "the archive is refused: there is no file in it")
        return taken.worst

    async def _received_members_together(
        self, name: str, group: Group, archive: ZipFile, bases: Mapping[str, ZipInfo]
    ) -> Answer | None:
        """Members that belong together. There is nothing to wait for: an archive is whole."""
        with ExitStack() as stack:
            files: dict[str, tuple[str, BinaryIO]] = {}
            for role, base in group.files.items():
                unpacked = stack.enter_context(self._spill())
                await asyncio.to_thread(unpack, archive, bases[base], unpacked)
                files[role] = base, unpacked
            if self._stop.is_set():
                return None
            own = replace(group, key=f"{name}/{group.key}")
            answer = await self._received_together(own, files, noted=False)
            self._taken.pop(own.name, None)
            return answer

    async def _received_member(self, name: str, file: BinaryIO) -> Answer | None:
        """As a file by itself, but how far it was taken is not written down."""
        parts = None if self._parts is None else await asyncio.to_thread(self._parts, file, NOTHING_BEFORE)
        if parts is not None:
            answer = await self._received_in_parts(name, (), parts, _Taken(), noted=False)
            self._taken.pop(name, None)
            if answer is not None or self._stop.is_set():
                return answer
        return await self._received_whole(file)

    async def _received_whole(self, file: BinaryIO) -> Answer:
        if _look(file)[0] > self._limit:
            await self._refuse(self._feed, "D917")
            return Answer(Verdict.REJECTED, "The file is larger than is accepted here.", self._clock(), "D917")
        file.seek(0)
        return await self._answered(await asyncio.to_thread(file.read))

    async def _received_in_parts(
        self, name: str, looked: tuple[int, ...], parts: Iterator[Part], taken: _Taken, *, noted: bool = True
    ) -> Answer | None:
        """The worst of the answers to its parts; `None` when it has none, or the gateway stops."""
        number = 0
        try:
            while (part := await asyncio.to_thread(next, parts, None)) is not None:
                if self._stop.is_set():
                    if noted:
                        await asyncio.to_thread(self._note, name, looked, taken)
                    return None
                taken = taken.further(part.after, await self._answered(part.body, part.before))
                self._taken[name] = taken
                number += 1
                if noted and number % _NOTED == 0:
                    await asyncio.to_thread(self._note, name, looked, taken)
        except MalformedMessage as error:
            await self._refuse(self._feed, error.code)
            return Answer(Verdict.REJECTED, f"{error.message}.", self._clock(), error.code)
        return taken.worst

    async def _answered(self, body: bytes, before: Before = NOTHING_BEFORE) -> Answer:
        envelope = Envelope(body, self._supplier, self._feed, self._clock(), "folder", before=before)
        return cast("Answer", await self._receive(envelope))

    # --- how far ---

    def _note_of(self, name: str) -> Path:
        return self._claimed / f".{sha256(os.fsencode(name)).hexdigest()[:16]}.taken"

    def _note(self, name: str, looked: tuple[int, ...], taken: _Taken) -> None:
        """Write down how far a file was taken."""
        worst = taken.worst
        if worst is None:
            return
        said = [worst.verdict, worst.text, worst.answered_at, worst.code, worst.reference]
        told = [looked, taken.upto.rows, taken.upto.lines, taken.upto.offset, said]
        self._files.write(self._note_of(name), orjson.dumps(told))

    def _noted(self, name: str, looked: tuple[int, ...]) -> _Taken:
        """How far this very file was taken, when that was written down."""
        try:
            seen, rows, lines, offset, said = orjson.loads(self._note_of(name).read_bytes())
            if tuple(seen) != looked:
                return _Taken()
            verdict, text, at, code, reference = said
            worst = Answer(Verdict(verdict), text, datetime.fromisoformat(at), code, reference=reference)
        except (FileNotFoundError, ValueError, TypeError):
            # Written as the power went: then it is read from its beginning, and what was taken is a repeat.
            return _Taken()
        return _Taken(Before(rows, lines, offset), worst)

    # --- put away ---

    def _put_away(self, name: str, digest: str, answer: Answer) -> None:
        """To the folder where it ends: reason, marker, file, in this order, so that a stop between two is no loss."""
        kept = answer.verdict is Verdict.ACCEPTED or bool(answer.reference)
        # The same bytes under the same name may come again; other bytes never push them out.
        end = self._path / (_ARCHIVE if kept else _REJECTED) / _put_away_as(name, digest)
        if answer.verdict is not Verdict.ACCEPTED:
            known = explanations().get(answer.code)
            reason = {"code": answer.code, "text": answer.text, "reference": answer.reference}
            if known is not None:
                # Who finds the file seldom has the command that explains codes.
                reason["mend"] = known.mend
            self._files.write(end.with_name(f"{end.name}.reason.json"), orjson.dumps(reason))
        if self._marker:
            self._put_marker_away(name)
        self._files.rename(self._claimed / name, end)
        self._taken.pop(name, None)
        self._note_of(name).unlink(missing_ok=True)

    def _put_rest_away(self) -> None:
        """Files that were answered together, as far as they are not put away."""
        for note, digests, answer in self._waiting.to_be_put_away():
            for name, digest in digests.items():
                if (self._claimed / name).exists():
                    self._put_away(name, digest, answer)
            group = note.name.removeprefix(".").removesuffix(".answered")
            self._taken.pop(group, None)
            self._note_of(group).unlink(missing_ok=True)
            note.unlink(missing_ok=True)

    def _put_marker_away(self, name: str) -> None:
        marker = self._claimed / f"{name}{self._marker}"
        with suppress(FileNotFoundError):
            with _open(marker) as file:
                digest = _digest(file)
            self._files.rename(marker, self._path / _ARCHIVE / _put_away_as(marker.name, digest))


def _put_away_as(name: str, digest: str) -> str:
    """The name that its owner knows it by, behind a digest; without it where the two would be too long for a disk."""
    return f"{digest}-{name}" if len(os.fsencode(name)) <= 200 else f"{digest}{Path(name).suffix[:20]}"


def _open(path: Path) -> BinaryIO:
    """A claimed file, and no link. From now on it is for us alone, where it is ours."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    if hasattr(os, "fchmod"):
        with suppress(PermissionError):
            os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "rb")


def _look(file: BinaryIO) -> tuple[int, int]:
    """By what a file is seen to have changed."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _looks(files: Iterable[BinaryIO]) -> tuple[int, ...]:
    """The same of several."""
    return tuple(number for file in files for number in _look(file))


def _as_one(files: Mapping[str, tuple[str, BinaryIO]]) -> bytes:
    """Several files as one envelope, in the order of their names, so that it is the same however they came."""
    made: list[File] = []
    for name, file in sorted(files.values(), key=lambda pair: pair[0]):
        file.seek(0)
        made.append(File(name, file.read()))
    return written(made)


def _digest(file: BinaryIO) -> str:
    """Of its bytes, a block in memory at a time."""
    file.seek(0)
    digest = sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()[:16]
