"""
Documents into a folder, each whole and once.

A document is never seen half-written by whoever reads the folder. This module must never write over a file that is
there, and never let a name from outside be a path.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Final

from mhbridge.adapters.folder.disk import make_folders
from mhbridge.errors import DestinationRejected, DestinationSilent, DestinationUnavailable
from mhbridge.ports import Clock, Delivered, DueDelivery, Files

__all__ = ["FolderSender"]

_STAGING: Final = ".staging"
#: A witness is of use as long as a delivery can be unknown; a month is more than anybody waits.
_WITNESS_AGE: Final = timedelta(days=35)


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
        make_folders(self._path, _STAGING)
        oldest = (self._clock() - _WITNESS_AGE).timestamp()
        for witness in self._staging.glob("*.leaving"):
            if witness.stat().st_mtime < oldest and not (self._staging / witness.stem).exists():
                witness.unlink(missing_ok=True)


def _file_name(delivery: DueDelivery) -> str:
    """From ids alone: nothing of a patient, nothing of a path."""
    identifier = "".join(c for c in delivery.document.identifier.removeprefix("urn:uuid:") if c.isalnum() or c == "-")
    suffix = {"application/fhir+json": "json", "application/fhir+xml": "xml"}.get(delivery.document.media_type, "dat")
    return f"{delivery.id:012d}-{identifier}.{suffix}"
