"""
The data keys: one for each class of what is kept and each month in which it expires, wrapped, in a file of their own.

What is kept is shredded by dropping its key, so a key must never be where the store is: not in the database, and not in
a backup that is kept as long as the database's. A key is in the file, and the file is on the disk, before anything is
closed with it; so the two files need no common transaction. A key that was dropped leaves its number behind, so that
what cannot be opened any more says why. This module must never write a key that is not wrapped.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from mhbridge.adapters.disk import sync_names
from mhbridge.adapters.sql.sealing import KEY_SIZE, derived
from mhbridge.errors import StoreError
from mhbridge.ports import RetentionClass

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = [
    "ERASED",
    "NONCE_SIZE",
    "PURGED",
    "DataKey",
    "KeyFile",
    "Keyring",
    "Place",
    "expiry",
    "write_durably",
]

#: What `key_id` says of a body that is gone: erased for one patient, or purged with its month. No key opens these.
ERASED: Final = -1
PURGED: Final = -2

#: NIST SP 800-38D §5.2.1.1. Random: a month's key closes far fewer than the 2^32 bodies that §8.3 allows.
NONCE_SIZE: Final = 12

_FORMAT: Final = 1

_WAS_PURGED: Final = "purged: it was kept as long as it was to be"

_DAY: Final = 86_400_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DataKey:
    """
    What the file says of one key.

    Args:
        expires: the first instant after its month, in microseconds.
        wrapped: the key itself, closed under the master key; empty when it was dropped.
    """

    id: int
    retention: RetentionClass
    expires: int
    wrapped: bytes = b""

    @property
    def about(self) -> bytes:
        """What a wrapped key is bound to."""
        return b"%d %b %d" % (self.id, self.retention.encode(), self.expires)

    @property
    def month(self) -> str:
        """Class and month, for people."""
        last = datetime.fromtimestamp(self.expires / 1_000_000, UTC) - timedelta(days=1)
        return f"{self.retention} until {last:%Y-%m}"


@lru_cache(4096)
def _end_of_month(day: int) -> int:
    at = _EPOCH + timedelta(days=day)
    first = at.replace(day=1) + timedelta(days=32)
    return (first.replace(day=1) - _EPOCH) // timedelta(microseconds=1)


def expiry(at: int, days: int) -> int:
    """The first instant after the month in which so many days from `at` are over."""
    return _end_of_month(at // _DAY + days)


class Place(Protocol):
    """Where the wrapped keys are."""

    @property
    def name(self) -> str:
        """What people call it."""

    def read(self) -> bytes | None:
        """All that is in it; `None` while there is nothing."""

    def write(self, content: bytes) -> bool:
        """
        Put something else in its place; when this returns, it is durable.

        Returns:
            `False`, when somebody else has done so since it was last read: then nothing is written.
        """


class KeyFile:
    """A file of wrapped keys, which one process writes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """Its name, without the folder."""
        return self.path.name

    def read(self) -> bytes | None:
        """All of it, when it is there."""
        return self.path.read_bytes() if self.path.exists() else None

    def write(self, content: bytes) -> bool:
        """Write it anew, whole."""
        write_durably(self.path, content)
        return True


class Keyring:
    """
    The keys of one store. Read by any thread; changed by the one that writes.

    Args:
        place: where the wrapped keys are: a file, which is made with the first key, or what else keeps them.
        master: `KEY_SIZE` bytes from outside.

    Raises:
        StoreError: S223, when the file is not whole or was wrapped under another master key.
    """

    def __init__(self, place: Path | Place, master: bytes) -> None:
        self.place: Place = KeyFile(place) if isinstance(place, Path) else place
        self._wrapping = _aead(derived(master, b"wrap"))
        self._lock = threading.Lock()
        self._keys: dict[int, DataKey] = {}
        self._ciphers: dict[int, AESGCM] = {}
        self._by_month: dict[tuple[RetentionClass, int], int] = {}
        #: What tokens and the log's chain are made with, when that is not the master key itself.
        self.secret: bytes | None = None
        self._read()

    # --- using keys ---

    def id_for(self, retention: RetentionClass, expires: int) -> int:
        """The key of a class and month. When this returns, it is on the disk."""
        found = self._by_month.get((retention, expires))
        if found is not None:
            return found
        with self._lock:
            while (found := self._by_month.get((retention, expires))) is None:
                made = self._new(retention, expires)
                self._change({**self._keys, made.id: made}, self.secret)
        return found

    def close(self, key: int, about: bytes, body: bytes) -> bytes:
        """Encrypt under a key of this ring, bound to `about`."""
        nonce = os.urandom(NONCE_SIZE)
        return nonce + self._cipher(key, about).encrypt(nonce, body, about)

    def open(self, key: int, about: bytes, stored: bytes) -> bytes:
        """
        What was encrypted.

        Raises:
            StoreError: S208 when the bytes are not those that were closed, S222 when their key was dropped, S223 when
                it is not in the file.
        """
        from cryptography.exceptions import InvalidTag

        cipher = self._cipher(key, about)
        try:
            return cipher.decrypt(stored[:NONCE_SIZE], stored[NONCE_SIZE:], about)
        except (InvalidTag, ValueError):
            raise StoreError(
                "S208", f"{about.decode()} is damaged: its stored bytes are not the ones that were written"
            ) from None

    def _cipher(self, key: int, about: bytes) -> AESGCM:
        found = self._ciphers.get(key)
        if found is not None:
            return found
        if key in (ERASED, PURGED):
            raise StoreError("S222", f"{about.decode()} was {'erased' if key == ERASED else _WAS_PURGED}")
        with self._lock:
            if key not in self._keys:
                # The process that writes may have made it since this one read the file.
                self._read()
            known = self._keys.get(key)
            if known is None:
                raise StoreError(
                    "S223", f"{about.decode()} is closed with key {key}, which is not in {self.place.name}"
                )
            if not known.wrapped:
                raise StoreError("S222", f"{about.decode()} was {_WAS_PURGED}")
            found = self._ciphers[key] = _aead(self._unwrap(known.about, known.wrapped))
        return found

    # --- keeping keys ---

    @property
    def last_id(self) -> int:
        """The largest number that a key ever had."""
        return max(self._keys, default=0)

    @property
    def dropped(self) -> frozenset[int]:
        """Numbers of keys that are gone."""
        return frozenset(key.id for key in self._keys.values() if not key.wrapped)

    def key(self, number: int) -> DataKey | None:
        """What the file says of a key."""
        return self._keys.get(number)

    def refresh(self) -> None:
        """Look at what other processes have made and dropped."""
        with self._lock:
            self._read()

    def living(self) -> list[DataKey]:
        """Keys that are there."""
        return [key for key in self._keys.values() if key.wrapped]

    def expired(self, now: int) -> list[DataKey]:
        """Keys whose month is over and that are still there, the oldest first."""
        keys = sorted(self._keys.values(), key=lambda key: (key.expires, key.id))
        return [key for key in keys if key.wrapped and key.expires <= now]

    def drop(self, number: int) -> None:
        """Take a key out of the file. When this returns, what it closed cannot be opened any more."""
        with self._lock:
            while (key := self._keys[number]).wrapped:
                self._change({**self._keys, number: DataKey(key.id, key.retention, key.expires)}, self.secret)
            self._ciphers.pop(number, None)

    def adopt(self, secret: bytes) -> None:
        """Keep what tokens and chain are made with under the master key, from now on. What there is already, stays."""
        with self._lock:
            while self.secret is None:
                self._change(self._keys, secret)

    def wrapped_under(self, master: bytes, secret: bytes) -> bytes:
        """
        The content of the file as it would be under another master key.

        Args:
            secret: what tokens and chain are made with, which stays the same.
        """
        other = _aead(derived(master, b"wrap"))
        keys = [
            DataKey(
                key.id,
                key.retention,
                key.expires,
                _closed(other, key.about, self._unwrap(key.about, key.wrapped)) if key.wrapped else b"",
            )
            for key in self._keys.values()
        ]
        return _content(keys, _closed(other, b"secret", secret))

    def rewrap(self, master: bytes, secret: bytes) -> None:
        """
        Put everything under another master key, where it is. This ring goes on with what it has opened.

        Raises:
            StoreError: S206, when somebody else has changed the keys meanwhile.
        """
        with self._lock:
            if not self.place.write(self.wrapped_under(master, secret)):
                raise StoreError("S206", "another process has changed the keys: stop all gateways first")

    # --- the file ---

    def _new(self, retention: RetentionClass, expires: int) -> DataKey:
        made = DataKey(self.last_id + 1, retention, expires)
        wrapped = _closed(self._wrapping, made.about, os.urandom(KEY_SIZE))
        return DataKey(made.id, retention, expires, wrapped)

    def _read(self) -> None:
        content = self.place.read()
        if content is None:
            return
        try:
            said: dict[str, Any] = orjson.loads(content)
            if said["format"] != _FORMAT:
                raise StoreError("S223", f"{self.place.name} is of a version that this one does not know")
            keys = [DataKey(k["id"], k["class"], k["expires"], bytes.fromhex(k["wrapped"])) for k in said["keys"]]
            secret = bytes.fromhex(said["secret"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise StoreError("S223", f"{self.place.name} is not whole") from None
        self.secret = self._unwrap(b"secret", secret) if secret else None
        # One is opened, so that a wrong master key is known before anything is closed with it.
        for key in [key for key in keys if key.wrapped][-1:]:
            self._unwrap(key.about, key.wrapped)
        self._take(keys)

    def _take(self, keys: Iterable[DataKey]) -> None:
        self._keys = {key.id: key for key in keys}
        self._by_month = {(key.retention, key.expires): key.id for key in self._keys.values() if key.wrapped}

    def _unwrap(self, about: bytes, wrapped: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            return self._wrapping.decrypt(wrapped[:NONCE_SIZE], wrapped[NONCE_SIZE:], about)
        except (InvalidTag, ValueError):
            raise StoreError("S223", f"the keys in {self.place.name} were wrapped under another master key") from None

    def _change(self, keys: Mapping[int, DataKey], secret: bytes | None) -> None:
        """Write the keys as they are to be, or read what somebody else has written meanwhile."""
        closed = _closed(self._wrapping, b"secret", secret) if secret is not None else b""
        if self.place.write(_content(keys.values(), closed)):
            self.secret = secret
            self._take(keys.values())
        else:
            self._read()


def _content(keys: Iterable[DataKey], secret: bytes) -> bytes:
    rows = [
        {"id": key.id, "class": key.retention, "expires": key.expires, "wrapped": key.wrapped.hex()}
        for key in sorted(keys, key=lambda key: key.id)
    ]
    content = {"format": _FORMAT, "secret": secret.hex(), "keys": rows}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _closed(cipher: AESGCM, about: bytes, body: bytes) -> bytes:
    nonce = os.urandom(NONCE_SIZE)
    return nonce + cipher.encrypt(nonce, body, about)


def _aead(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def write_durably(path: Path, content: bytes) -> None:
    """
    A file that only we may read, whole under its name or not there: a crash leaves the old one or the new one.

    What was in it before is written over, as far as the disk does that where it is: a key must not stay behind in what
    the file system calls free.
    """
    part = path.with_name(f"{path.name}.new")
    old = os.open(path, os.O_WRONLY) if path.exists() else None
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_names(path.parent)
    if old is not None:
        with os.fdopen(old, "wb", closefd=True) as file:
            file.write(bytes(os.fstat(old).st_size))
            file.flush()
            os.fsync(old)
