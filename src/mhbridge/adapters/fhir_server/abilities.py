"""
What a server says that it can (CapabilityStatement), asked when it is first of use and again after an hour.

It is believed only where it says that it can something: a condition that a server passes over would be worse than none.
This module must never take silence for an ability.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from mhbridge.adapters.fhir_server.asking import Asking
from mhbridge.errors import DestinationSilent, DestinationUnavailable

__all__ = ["Abilities", "Able"]

_FRESH: Final = timedelta(hours=1)


class Able(NamedTuple):
    """
    Types of resources, by what the server can do with them.

    Args:
        versions: it says which version something is, and takes `ifMatch`.
        creates: it creates on the condition that nothing of the same identifier is there.
    """

    versions: frozenset[str] = frozenset()
    creates: frozenset[str] = frozenset()


class Abilities:
    """What one server can."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._able = Able()
        self._asked_at: datetime | None = None

    async def known(self, deadline: float) -> Able:
        """
        What it can. A server that has no such statement can nothing.

        Raises:
            DestinationUnavailable: it does not answer; nothing but a question was sent.
        """
        now = self._asking.now()
        if self._asked_at is None or now - self._asked_at >= _FRESH:
            try:
                answer = await self._asking.ask("GET", "/metadata", None, deadline)
            except DestinationSilent as error:
                raise DestinationUnavailable(error.code, "the server does not say what it can") from error
            self._asked_at = now
            self._able = _able(answer.resource if answer.reply.success and answer.resource else {})
        return self._able


def _able(statement: Mapping[str, Any]) -> Able:
    versions, creates = set(), set()
    for rest in _objects(statement.get("rest")):
        for one in _objects(rest.get("resource")):
            type_ = str(one.get("type"))
            if one.get("versioning") in ("versioned", "versioned-update"):
                versions.add(type_)
            searched = {parameter.get("name") for parameter in _objects(one.get("searchParam"))}
            if one.get("conditionalCreate") is True and "identifier" in searched:
                creates.add(type_)
    return Able(frozenset(versions), frozenset(creates))


def _objects(found: Any) -> list[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
