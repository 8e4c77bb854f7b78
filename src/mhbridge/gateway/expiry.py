"""
Says in good time that a certificate ends: on that day a feed or a destination would fall silent, with nothing amiss.

What is in use is what was loaded at the start, so a certificate that was replaced counts from the next start on. This
module must never read a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from mhbridge.log import Event, Log
from mhbridge.ports import Store, Urgency

__all__ = ["Expiry"]

#: How bad it is, by how much is left.
_LEFT: Final[tuple[tuple[timedelta, Urgency], ...]] = (
    (timedelta(), "critical"),
    (timedelta(days=7), "high"),
    (timedelta(days=30), "normal"),
)


class Expiry:
    """
    Args:
        certificates: whose it is → until when it is good.
    """

    def __init__(self, *, store: Store, certificates: Mapping[str, datetime], log: Log) -> None:
        self._store = store
        self._certificates = certificates
        self._log = log
        self._said: dict[str, Urgency | None] = {}

    async def look(self, now: datetime) -> None:
        """
        Say what is new: a certificate that ends soon, sooner, or has ended.

        Raises:
            StoreError: it could not be made a task. It is tried again.
        """
        for whose, until in self._certificates.items():
            urgency = next((urgency for left, urgency in _LEFT if until - now <= left), None)
            if whose in self._said and self._said[whose] == urgency:
                continue
            if urgency is None:
                # A task from before the start, when it was another one.
                await self._store.close_task("certificate", "there is another one", now, name=whose)
            else:
                await self._store.raise_task("certificate", "D978", now, name=whose, severity=urgency, deadline=until)
                seconds = max(0, round((until - now).total_seconds()))
                self._log.error(Event.CERTIFICATE_ENDS, kind=whose, code="D978", severity=urgency, seconds=seconds)
            self._said[whose] = urgency
