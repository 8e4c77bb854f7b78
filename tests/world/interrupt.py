"""
Breaks a port at one of its calls: kills the gateway there, raises, pauses, swallows the call or makes it twice.

Every crash that matters lies between two calls of a port, so whoever wraps the ports and counts the calls has them all,
`for n in range(calls(run))`, and each has a name: `store.commit#17:after`. The product holds no failpoint, and new code
cannot forget one.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["KILL", "REPEAT", "Act", "Interrupt", "Killed", "Pause", "Raise", "Swallow"]


class Killed(BaseException):
    """The process is dead; nobody in it catches this."""


class Act:
    """What happens at the call."""


KILL = Act()
#: The call is made twice, as by a fault that repeats it.
REPEAT = Act()


@dataclass(frozen=True)
class Raise(Act):
    error: BaseException


@dataclass(frozen=True)
class Pause(Act):
    seconds: float


@dataclass(frozen=True)
class Swallow(Act):
    """The call is not made, and who made it is told `value`: what it would hear had all been well."""

    value: Callable[[tuple[Any, ...]], Any] = lambda _values: None


@dataclass
class Interrupt:
    """
    Counts the calls of ports, and acts at one of them.

    Args:
        at: the number of the call, from 0; `None` only counts.
        after: it happens when the call has been made, and what it returned is lost with the process.
        only: which calls are counted: names such as `store.commit`; empty are all.
        always: from the call on, at every one.
    """

    at: int | None = None
    act: Act = KILL
    after: bool = False
    only: frozenset[str] = frozenset()
    always: bool = False
    #: The names of the calls that were counted, in order.
    calls: list[str] = field(default_factory=list)
    by_name: Counter[str] = field(default_factory=Counter)
    #: The name of the call at which it acted.
    acted: str = ""
    kill: Callable[[], None] = lambda: None
    dead: Callable[[], bool] = lambda: False

    def around(self, name: str, port: Any) -> Any:
        """The port, with all its calls counted."""
        return _Port(self, name, port)

    def _due(self, name: str) -> Act | None:
        if self.dead():
            raise Killed
        if self.only and name not in self.only:
            return None
        number = len(self.calls)
        self.calls.append(name)
        self.by_name[name] += 1
        if self.at is None or number < self.at or (number > self.at and not self.always):
            return None
        self.acted = f"{name}#{self.by_name[name] - 1}:{'after' if self.after else 'before'}"
        return self.act

    async def call(self, name: str, made: Callable[[], Any], values: tuple[Any, ...]) -> Any:
        act = self._due(name)
        if act is None:
            return self._alive(await made())
        if isinstance(act, Swallow):
            return act.value(values)
        if not self.after:
            await self._happen(act)
        result = self._alive(await made())
        if act is REPEAT:
            result = self._alive(await made())
        if self.after:
            await self._happen(act)
        return result

    def _alive(self, result: Any) -> Any:
        if self.dead():
            raise Killed
        return result

    async def _happen(self, act: Act) -> None:
        if act is KILL:
            self.kill()
            raise Killed
        if isinstance(act, Raise):
            raise act.error
        if isinstance(act, Pause):
            await asyncio.sleep(act.seconds)
            self._alive(None)


class _Port:
    """A port whose calls are counted. All else it is asked goes to the port itself."""

    def __init__(self, interrupt: Interrupt, name: str, port: Any) -> None:
        self._interrupt, self._name, self._port = interrupt, name, port

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._port, attribute)
        # Opening and closing are the process's own beginning and end, and are killed by killing it there.
        if not inspect.iscoroutinefunction(found) or attribute in ("open", "close"):
            return found

        async def counted(*values: Any, **named: Any) -> Any:
            name = f"{self._name}.{attribute}"
            return await self._interrupt.call(name, lambda: found(*values, **named), values)

        return counted
