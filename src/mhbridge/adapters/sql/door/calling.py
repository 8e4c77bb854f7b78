"""
How a store asks its threads: one that writes, one for the flow, one for people, and what is asked for each message.

Nothing is in memory that is not in the database. This module must never work a call itself.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from mhbridge.adapters.sql import migrating
from mhbridge.adapters.sql.committing import IO_ERROR, UNUSABLE, Die, Verb, Writer, refusal
from mhbridge.adapters.sql.reading import Reader
from mhbridge.adapters.sql.sealing import Keys
from mhbridge.adapters.sql.session import Fault
from mhbridge.adapters.sql.turns import Call, Result, Turns
from mhbridge.errors import StoreError
from mhbridge.ports import Original

__all__ = ["Calling"]

_T = TypeVar("_T")

#: Between two pieces of what a migration left for later: what arrives meanwhile has the writer nearly to itself.
_PAUSE: Final = 0.02
#: Before a piece that failed is tried again: the disk may have been full.
_AGAIN: Final = 30.0


class Calling(ABC):
    """
    What all subjects of the door stand on. The engine sets these when it opens.

    Args:
        _flow, _desk: one for the flow, and one for what people ask: a long answer to a person delays no delivery.
        _near: what is asked for each message.
    """

    _open: bool
    _read_only: bool
    _die: Die
    _turns: Callable[[str], Turns]
    _keys: Keys
    _writer: Writer
    _writing: Turns
    _flow: Turns
    _desk: Turns
    _near: Reader

    @property
    def keys(self) -> Keys:
        """What tokens, seals and signatures are made with."""
        return self._keys

    async def ask(self, verb: Callable[..., _T], *values: Any) -> _T:
        """Let the reader answer that is there for people."""
        return await self._ask(self._desk, verb, *values)

    async def write(self, verb: Verb, item: Any, noted: Callable[[Any], None] | None = None) -> Any:
        """Let the writer do it: when this returns, it is durable."""
        self._require_writing()
        loop = asyncio.get_running_loop()
        call = Call(verb, item, loop.create_future(), loop, noted)
        self._writing.put(call)
        return await call.future

    async def _ask(self, turns: Turns, verb: Callable[..., _T], *values: Any) -> _T:
        """Let a reader answer."""
        self._require_open()
        call = Call(verb, values, asyncio.get_running_loop().create_future())
        turns.put(call)
        answer: _T = await call.future
        return answer

    @abstractmethod
    async def _at_once(self, verb: Callable[..., _T], *values: Any) -> _T:
        """
        Answer what is asked for each message: one search by a key.

        Where that takes less than handing it to a thread, it is answered on the event loop. Nothing else may be.
        """

    @abstractmethod
    def _relayed(self, message: int) -> Original:
        """The original of a message, at once and on any thread: a relay asks for it while it sends."""

    def _start_reader(self, turns: Turns, reader: Reader) -> Turns:
        def work(batch: Sequence[Call]) -> Sequence[Result]:
            return [self._answer(reader, call) for call in batch]

        turns.start(work)
        return turns

    def _answer(self, reader: Reader, call: Call) -> Result:
        try:
            try:
                return Result(call, call.verb(reader, *call.item))
            except Exception as error:
                if reader.session.fault(error) is not Fault.LOST:
                    raise
            # Nothing was changed: it is asked again.
            reader.session.reopened()
            return Result(call, call.verb(reader, *call.item))
        except Exception as error:  # noqa: BLE001, whatever it is, its caller is told
            return Result(call, error=self._refusal(error, reader))

    def _refusal(self, error: Exception, reader: Reader) -> Exception:
        if reader.session.fault(error) is Fault.DEAD:
            # As for the writer: nothing is read again of what the kernel may have thrown away.
            if not self._read_only:
                self._die(IO_ERROR)
            return StoreError("S209", UNUSABLE)
        return refusal(error, reader.session)

    async def _migrate_later(self) -> None:
        """What a migration left for later, piece by piece, until the store closes or nothing is left."""
        left = True
        while left:
            try:
                left = await self.write(migrating.later, None)
                await asyncio.sleep(_PAUSE)
            except StoreError:
                # Whatever it needs works without it, only slower; what can be done about it is not done here.
                await asyncio.sleep(_AGAIN)

    def _require_open(self) -> None:
        if not self._open:
            raise StoreError("S215", "the store is not open")

    def _require_writing(self) -> None:
        self._require_open()
        if self._read_only:
            raise StoreError("S215", "the store is open for reading only")
