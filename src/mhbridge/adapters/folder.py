"""
Folders, both ways: files in a folder are received (`FolderReceiver`), documents are put into one (`FolderSender`).

A file is never worked while somebody may be writing it, never worked by two, and never seen half-written by whoever
reads our folder: all of that is done by rename, which is one step for everybody. This module must never delete a file
that it did not make, and never let a name from outside be a path or a log entry.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Final, cast

import orjson

from mhbridge.errors import DestinationRejected, DestinationSilent, DestinationUnavailable, StoreError
from mhbridge.log import Event, Log, where
from mhbridge.model import Answer, Envelope, Verdict
from mhbridge.ports import Clock, Delivered, DueDelivery, Files, Receive

__all__ = ["DiskFiles", "FolderReceiver", "FolderSender"]

_STAGING: Final = ".staging"
_CLAIMED: Final = ".claimed"
_ARCHIVE: Final = "archive"
_REJECTED: Final = "rejected"
#: A witness is of use as long as a delivery can be unknown; a month is more than anybody waits.
_WITNESS_AGE: Final = timedelta(days=35)


class DiskFiles:
    """`Files` on a real disk. What returned has survived a power cut, as far as the disk is honest."""

    def write(self, path: Path, body: bytes) -> None:
        """Write, fsync the file, fsync its directory."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        try:
            view = memoryview(body)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _sync(path.parent)

    def rename(self, old: Path, new: Path) -> None:
        """Rename on one file system and fsync both directories."""
        os.rename(old, new)  # noqa: PTH104  Path.rename is the same; this names the system call meant
        _sync(new.parent)
        if old.parent != new.parent:
            _sync(old.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make(path: Path, *below: str) -> None:
    """Folders for us alone. Whoever else is to use one makes it first, and gives it the rights wanted."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in below:
        (path / name).mkdir(mode=0o700, exist_ok=True)


# --- out ---------------------------------------------------------------------------------------------------


class FolderSender:
    """
    Puts each document into a folder, whole, under a name made of ids.

    Written to `.staging` first, then renamed. A witness beside it says that the rename was about to happen: with the
    witness there and the staged file gone, it did happen, even if whoever reads the folder has taken the file already.
    """

    def __init__(self, *, name: str, path: Path, files: Files, clock: Clock) -> None:
        self.name = name
        self._path = path
        self._staging = path / _STAGING
        self._files = files
        self._clock = clock

    async def open(self) -> None:
        """Make the folders where they are missing; clear away witnesses that nobody will ask for again."""
        await asyncio.to_thread(self._prepare)

    async def close(self) -> None:
        """Nothing is held open."""

    async def deliver(self, delivery: DueDelivery) -> Delivered:
        """Stage, witness, rename."""
        name = _file_name(delivery)
        await asyncio.to_thread(self._put, name, delivery.document.body)
        return Delivered(2, name)

    async def look(self, delivery: DueDelivery) -> Delivered | None:
        """The staged file and its witness know whether the rename happened."""
        name = _file_name(delivery)
        witness, staged = self._witness(name), self._staging / name
        arrived = await asyncio.to_thread(lambda: witness.exists() and not staged.exists())
        return Delivered(2, name) if arrived else None

    def _put(self, name: str, body: bytes) -> None:
        staged, final = self._staging / name, self._path / name
        try:
            if final.exists():
                # Only a store that was put back to an earlier day gives an id twice. Never write over what is there.
                if final.read_bytes() == body:
                    return
                raise DestinationRejected("D952", "another document of this name is there")
            # A witness of an earlier attempt must not speak for this one.
            self._witness(name).unlink(missing_ok=True)
            self._files.write(staged, body)
            self._files.write(self._witness(name), b"")
        except OSError as error:
            raise DestinationUnavailable("D953", "the folder cannot be written to") from error
        try:
            self._files.rename(staged, final)
        except OSError as error:
            raise DestinationSilent("D953", "the file may or may not have been put into the folder") from error

    def _witness(self, name: str) -> Path:
        return self._staging / f"{name}.leaving"

    def _prepare(self) -> None:
        _make(self._path, _STAGING)
        oldest = (self._clock() - _WITNESS_AGE).timestamp()
        for witness in self._staging.glob("*.leaving"):
            if witness.stat().st_mtime < oldest and not (self._staging / witness.stem).exists():
                witness.unlink(missing_ok=True)


def _file_name(delivery: DueDelivery) -> str:
    """From ids alone: nothing of a patient, nothing of a path."""
    identifier = "".join(c for c in delivery.document.identifier.removeprefix("urn:uuid:") if c.isalnum() or c == "-")
    suffix = {"application/fhir+json": "json", "application/fhir+xml": "xml"}.get(delivery.document.media_type, "dat")
    return f"{delivery.id:012d}-{identifier}.{suffix}"


# --- in ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Seen:
    """How a file looked, and since when it has looked so."""

    size: int
    changed: int
    since: float


class FolderReceiver:
    """
    Watches a folder. A file that has looked the same for `settle` seconds is claimed, received, and put away.

    What was taken goes to `archive`, what was refused to `rejected` with the reason beside it. While the store fails, a
    claimed file waits. A crash anywhere leaves it claimed; the next start receives it again, which the gateway sees to
    be a repeat if it was taken.

    Args:
        pattern: which names are looked at (`*.csv`); names that begin with a dot never are.
        settle: seconds without change, seen at least twice.
        every: seconds between looks.
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
        pattern: str = "*",
        settle: float = 5.0,
        every: float = 2.0,
        limit: int = 200_000_000,
    ) -> None:
        self._supplier = supplier
        self._feed = feed
        self._path = path
        self._receive = receive
        self._refuse = refuse
        self._files = files
        self._clock = clock
        self._log = log
        self._pattern = pattern
        self._settle = settle
        self._every = every
        self._limit = limit
        self._seen: dict[str, _Seen] = {}
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """The folder."""
        return str(self._path)

    async def open(self) -> None:
        """Make the folders where they are missing, and begin to watch."""
        await asyncio.to_thread(_make, self._path, _CLAIMED, _ARCHIVE, _REJECTED)
        self._stop.clear()
        self._task = asyncio.create_task(self._watch())
        self._log.info(Event.LISTENING, feed=self._feed, kind="folder", address=self.address)

    async def close(self) -> None:
        """Finish the file in hand, and watch no more."""
        self._stop.set()
        if self._task is not None:
            await self._task
            self._task = None

    async def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                await self._round()
            except StoreError:
                # Said by the gateway. What is claimed stays so until the store is back.
                pass
            except Exception as error:  # noqa: BLE001  the folder must go on being watched
                self._log.critical(Event.FAILED, feed=self._feed, **where(error))
            try:
                async with asyncio.timeout(self._every):
                    await self._stop.wait()
            except TimeoutError:
                continue

    async def _round(self) -> None:
        """Receive what is claimed, then claim what has settled."""
        for claimed in await asyncio.to_thread(_names, self._path / _CLAIMED, "*"):
            await self._take(claimed)
        for name in await asyncio.to_thread(self._settled):
            if self._stop.is_set():
                return
            if await asyncio.to_thread(self._claim, name):
                await self._take(name)

    def _claim(self, name: str) -> bool:
        claimed = self._path / _CLAIMED / name
        if claimed.exists():
            # An earlier file of this name could not be put away; a rename would be its end.
            return False
        try:
            self._files.rename(self._path / name, claimed)
        except FileNotFoundError:
            # Whoever put it there has taken it away again.
            return False
        self._seen.pop(name, None)
        return True

    def _settled(self) -> list[str]:
        """Names of files that have looked the same for long enough."""
        now = time.monotonic()
        settled, seen = [], {}
        for name in _names(self._path, self._pattern):
            try:
                found = os.lstat(self._path / name)
            except FileNotFoundError:
                continue
            before = self._seen.get(name)
            same = before is not None and (before.size, before.changed) == (found.st_size, found.st_mtime_ns)
            seen[name] = before if same and before is not None else _Seen(found.st_size, found.st_mtime_ns, now)
            if same and now - seen[name].since >= self._settle:
                settled.append(name)
        self._seen = seen
        return settled

    async def _take(self, name: str) -> None:
        """One claimed file. One that the disk will not give up is left, seen, and does not stop the others."""
        try:
            await self._receive_claimed(name)
        except OSError as error:
            self._log.critical(Event.FAILED, feed=self._feed, code="D953", **where(error))

    async def _receive_claimed(self, name: str) -> None:
        """From its bytes to the folder where it ends."""
        claimed = self._path / _CLAIMED / name
        body = await asyncio.to_thread(_read, claimed, self._limit)
        if body is None:
            await self._refuse(self._feed, "D917")
            answer = Answer(Verdict.REJECTED, "The file is larger than is accepted here.", self._clock(), "D917")
        else:
            envelope = Envelope(body, self._supplier, self._feed, self._clock(), "folder")
            answer = cast("Answer", await self._receive(envelope))
        kept = answer.verdict is Verdict.ACCEPTED or bool(answer.reference)
        # The same bytes under the same name may come again; other bytes never push them out.
        digest = sha256(body).hexdigest()[:16] if body is not None else "too-large"
        end = self._path / (_ARCHIVE if kept else _REJECTED) / _put_away_as(name, digest)
        if answer.verdict is not Verdict.ACCEPTED:
            reason = {"code": answer.code, "text": answer.text, "reference": answer.reference}
            await asyncio.to_thread(self._files.write, end.with_name(f"{end.name}.reason.json"), orjson.dumps(reason))
        await asyncio.to_thread(self._files.rename, claimed, end)


def _put_away_as(name: str, digest: str) -> str:
    """The name that its owner knows it by, behind a digest; without it where the two would be too long for a disk."""
    return f"{digest}-{name}" if len(os.fsencode(name)) <= 200 else f"{digest}{Path(name).suffix[:20]}"


def _names(folder: Path, pattern: str) -> list[str]:
    """Regular files (a link may point anywhere), the oldest first, so that a sender's order is kept."""
    found: list[tuple[int, str]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not fnmatchcase(entry.name, pattern):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode):
                found.append((status.st_mtime_ns, entry.name))
    return [name for _, name in sorted(found)]


def _read(path: Path, limit: int) -> bytes | None:
    """The whole file, or `None` when it is larger than the limit. From now on it is for us alone, where it is ours."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, "rb") as file:
        if hasattr(os, "fchmod"):
            with suppress(PermissionError):
                os.fchmod(descriptor, 0o600)
        body = file.read(limit + 1)
    return body if len(body) <= limit else None
