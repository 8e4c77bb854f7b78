"""
A copy of a store while it is written to, and a store made from such a copy.

The copy is of one instant: a reader holds its snapshot, so the write-ahead log grows for as long as the copying takes.
The data keys are apart from it, to be kept for a much shorter time, or nothing would ever be shredded; the master key
is not in it at all. A store is made from a copy only where there is none, and only when the log, every body and the
accounts of the copy hold. What was to be sent at that instant may have left since, so it is looked up before it is
sent. This module must never write over a store.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import apsw
import orjson

from mhbridge.adapters.disk import sync_names
from mhbridge.adapters.sql import queries
from mhbridge.adapters.sql.books import micros, when
from mhbridge.adapters.sql.heads import Head, line_of
from mhbridge.adapters.sql.keyring import write_durably
from mhbridge.adapters.sql.migrations import SCHEMA
from mhbridge.adapters.sqlite import opening
from mhbridge.adapters.sqlite.session import WRITER_ID
from mhbridge.adapters.sqlite.store import SqliteStore
from mhbridge.errors import StoreError

__all__ = ["BackedUp", "Restored", "back_up", "restore"]

_FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"
_KEYS: Final = "keys"

#: Pages copied at a time, and the rest between: the disk is also the gateway's.
_PAGES: Final = 2_000
_PAUSE: Final = 0.005

_NOTE: Final = """\
These are the wrapped data keys of the store whose backup is in the folder above.

Move this file away from that backup, to a place of its own, and keep it for days rather than months: what has been
purged from the store is unreadable only where its key is nowhere. A newer one opens older backups as well, but for
what was purged since. The key that these are wrapped under is not here: it is the file NAME.key beside the store, or
what store_key in the configuration refers to. Without it neither this file nor the backup is of any use.
"""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BackedUp:
    """
    What a backup has.

    Args:
        size: of the database, in bytes.
        seq: the last row of its log.
    """

    folder: Path
    at: datetime
    size: int
    messages: int
    deliveries: int
    seq: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Restored:
    """
    What was brought back.

    Args:
        at: the instant that the backup is of.
        bodies: how many bodies and readings were opened; `purged` could not be, as they must not.
        doubtful: deliveries that may have left after that instant, and are looked up.
    """

    at: datetime
    messages: int
    deliveries: int
    log_rows: int
    bodies: int
    purged: int
    doubtful: int
    seconds: float


def back_up(
    path: Path,
    folder: Path,
    now: datetime,
    *,
    keys_to: Path | None = None,
    master: opening.Master | None = None,
    connect: opening.Connect = apsw.Connection,
) -> BackedUp:
    """
    Copy a store, which a gateway may be writing to.

    Args:
        folder: an empty one, or one that is not there.
        keys_to: a folder for the data keys; left out, one inside `folder`.

    Raises:
        StoreError: S225 when there is something in the folder already, and what looking into the store raises.
    """
    begun = time.monotonic()
    keys = opening.find_files(path, master)
    _empty(folder)
    copy = folder / path.name
    with closing(opening.open_reader(path, connect, keys)) as source:
        # The first read fixes the instant, for all that is read until the end.
        source.execute("begin")
        seq, mac = _row(source, "log_head", writer=WRITER_ID) or (0, b"")
        messages, deliveries = _row(source, "counted_for_backup")
        _copy_pages(source, copy, connect)
    # After the pages: a key that is made later closes nothing that is in the copy.
    _copy_keys(opening.ring_of(path), keys_to or folder / _KEYS)
    manifest = {
        "format": _FORMAT, "at": micros(now), "store": path.name, "schema": SCHEMA, "sha256": _digest(copy),
        "seq": seq, "mac": mac.hex(), "messages": messages, "deliveries": deliveries,
    }  # fmt: skip
    # Last: a backup without it was not finished.
    write_durably(folder / _MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return BackedUp(folder, now, copy.stat().st_size, messages, deliveries, seq, time.monotonic() - begun)


async def restore(
    folder: Path,
    path: Path,
    now: datetime,
    *,
    who: str,
    keys_from: Path | None = None,
    master: opening.Master | None = None,
    tell: Say | None = None,
) -> Restored:
    """
    Make a store from a backup, where there is none.

    Args:
        keys_from: the file of data keys; left out, the one beside where the store was, else the one in the backup.
        tell: is told, for the notes of how far the log has come, that the log begins again from here.

    Raises:
        StoreError: S225 when there is a store, S226 when the backup is not whole or does not hold, S223 or S205 when
            its keys are not there.
    """
    begun = time.monotonic()
    manifest = _manifest(folder)
    work = path.with_name(f".{path.name}.restoring")
    try:
        made = _copied_into(work, path, folder, manifest, keys_from)
        master = master or (lambda: opening.secret_beside(path))
        restored, line = await _made(made, master, manifest, who, now)
        _put(made, path)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if tell is not None:
        tell(line)
    return Restored(**restored, seconds=time.monotonic() - begun)


def _copied_into(work: Path, path: Path, folder: Path, manifest: dict[str, Any], keys_from: Path | None) -> Path:
    """A store in a folder of its own, as the backup has it."""
    left = path.with_name(f"{path.name}-wal")
    if path.exists() or (left.exists() and left.stat().st_size):
        raise StoreError("S225", f"there is a store {path}, or its {left.name}: nothing is written over it")
    copy = folder / str(manifest["store"])
    if not copy.is_file() or _digest(copy) != manifest["sha256"]:
        raise StoreError("S226", f"{copy.name} in the backup is not what was written there")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    made = work / path.name
    shutil.copyfile(copy, made)
    ring = _keys_for(path, folder, keys_from, copy.name)
    if ring.exists():
        shutil.copyfile(ring, opening.ring_of(made))
    for file in work.iterdir():
        file.chmod(0o600)
    return made


async def _made(
    made: Path, master: opening.Master, manifest: dict[str, Any], who: str, now: datetime
) -> tuple[dict[str, Any], str]:
    """The store as it will be, with everything in it looked at; and the note of how far its log has come."""
    store = SqliteStore(made, master=master)
    await store.open()
    try:
        head = Head(micros(now), WRITER_ID, manifest["seq"], bytes.fromhex(manifest["mac"]), restored=True)
        rows = await store.verify_log()
        await store.verify_heads([line_of(store.keys, head)])
        opened, purged, damaged = await store.verify_bodies()
        if damaged:
            raise StoreError("S226", f"{damaged} bodies in the backup do not open")
        status = await store.status(now)
        if status.differences:
            raise StoreError("S226", f"the accounts of the backup do not balance: {status.differences[0]}")
        doubtful = await store.restored(when(manifest["at"]), who, now)
    finally:
        await store.close()
    values = {
        "at": when(manifest["at"]), "messages": sum(status.messages.values()),
        "deliveries": sum(status.deliveries.values()), "log_rows": rows, "bodies": opened, "purged": purged,
        "doubtful": doubtful,
    }  # fmt: skip
    return values, line_of(store.keys, head)


def _row(source: apsw.Connection, name: str, /, **values: Any) -> Any:
    return source.execute(queries()[name], values).fetchone()


def _empty(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise StoreError("S225", f"there is something in {folder} already: a backup is put into a folder of its own")


def _copy_pages(source: apsw.Connection, copy: Path, connect: opening.Connect) -> None:
    os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(connect(str(copy))) as target, target.backup("main", source, "main") as pages:
        while not pages.done:
            pages.step(_PAGES)
            time.sleep(_PAUSE)
    with copy.open("rb") as file:
        os.fsync(file.fileno())


def _copy_keys(ring: Path, folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if ring.exists():
        write_durably(folder / ring.name, ring.read_bytes())
    write_durably(folder / "NOTE.txt", _NOTE.replace("NAME", ring.name.removesuffix(".keys")).encode())


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = orjson.loads((folder / _MANIFEST).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        raise StoreError("S226", f"there is no backup in {folder}, or it was not finished") from None
    if found.get("format") != _FORMAT:
        raise StoreError("S226", f"the backup in {folder} is of a version that this one does not know")
    return found


def _keys_for(path: Path, folder: Path, given: Path | None, name: str) -> Path:
    """The newest file of data keys that there is."""
    if given is not None:
        return given
    beside = opening.ring_of(path)
    return beside if beside.exists() else folder / _KEYS / f"{name}.keys"


def _put(made: Path, path: Path) -> None:
    """Under their names, the database last: without it there is no store yet."""
    ring = opening.ring_of(made)
    if ring.exists():
        ring.replace(opening.ring_of(path))
    for left in ("-wal", "-shm"):
        # Of the store that was here, and empty: who last looked into it left them.
        path.with_name(f"{path.name}{left}").unlink(missing_ok=True)
    made.replace(path)
    sync_names(path.parent)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
