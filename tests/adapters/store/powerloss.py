"""
A disk that forgets what was not synced: an APSW file system under the real store.

Every write goes to the real file, which is what the running process sees, and into a list of what the disk may not have
yet; a sync empties the list. A power cut is a copy of what the disk has, with a random part of what it may have, torn
at sectors. Names of files are taken as durable at once.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512


@dataclass
class File:
    durable: bytearray = field(default_factory=bytearray)
    #: (offset, bytes) of each write, (size, None) of each truncation, since the last sync.
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)


@dataclass
class Cut:
    """What was on the disk at one instant, and what had been acknowledged by then."""

    files: dict[str, tuple[bytes, list[tuple[int, bytes | None]]]]
    acknowledged: list[int]
    #: Files beside the database, which are replaced whole and synced before they count.
    beside: dict[str, bytes] = field(default_factory=dict)

    def restore(self, directory: Path, rng: random.Random) -> None:
        """Write what is found after the power is back: any of the writes since the last sync, in whole or in part."""
        nothing = rng.random() < 0.3
        for name, (durable, pending) in self.files.items():
            image = bytearray(durable)
            for offset, data in pending:
                if nothing or rng.random() < 0.5:
                    continue
                if data is not None and rng.random() < 0.2:
                    data = data[: rng.randrange(0, len(data) + 1, SECTOR)]  # noqa: PLW2901
                _apply(image, offset, data)
            (directory / name).write_bytes(image)
        for name, content in self.beside.items():
            (directory / name).write_bytes(content)
            (directory / name).chmod(0o600)


class Disk(apsw.VFS):
    """
    Args:
        cuts: at which operations of the disk the power goes.
        acknowledged: grows while the test runs.
        beside: files that are there after the power is back as they were when it went.
    """

    NAME = "powerloss"

    def __init__(self, cuts: set[int], acknowledged: list[int], beside: Sequence[Path] = ()) -> None:
        super().__init__(self.NAME, "")
        self.files: dict[str, File] = {}
        self.operations = 0
        self.cuts: list[Cut] = []
        self._at = cuts
        self._acknowledged = acknowledged
        self._beside = beside

    @property
    def connect(self) -> Callable[..., apsw.Connection]:
        return lambda *values, **named: apsw.Connection(*values, vfs=self.NAME, **named)

    def load(self, path: Path) -> None:
        """What was on the disk before."""
        self.files[path.name] = File(durable=bytearray(path.read_bytes()))

    def cut_at(self, cuts: set[int]) -> None:
        """At which operations the power goes from now on."""
        self._at = cuts

    def tick(self) -> None:
        self.operations += 1
        if self.operations in self._at:
            files = {name: (bytes(file.durable), list(file.pending)) for name, file in self.files.items()}
            beside = {path.name: path.read_bytes() for path in self._beside if path.exists()}
            self.cuts.append(Cut(files, list(self._acknowledged), beside))

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        return OpenFile(self, None if path is None else Path(path).name, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.files.pop(Path(filename).name, None)
        super().xDelete(filename, syncdir)


class OpenFile(apsw.VFSFile):
    def __init__(self, disk: Disk, known_as: str | None, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._file = File() if known_as is None else disk.files.setdefault(known_as, File())

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        self._disk.tick()
        self._file.pending.append((offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.tick()
        self._file.pending.append((newsize, None))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.tick()
        super().xSync(flags)
        for offset, data in self._file.pending:
            _apply(self._file.durable, offset, data)
        self._file.pending.clear()


def _apply(image: bytearray, offset: int, data: bytes | None) -> None:
    end = offset + len(data or b"")
    if len(image) < end:
        image.extend(bytes(end - len(image)))
    if data is None:
        del image[offset:]
    else:
        image[offset:end] = data
