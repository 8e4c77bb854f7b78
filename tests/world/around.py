"""
Who is around a mental health trust: recipients that keep what they are sent, and people who look after queues.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web
from living import Outage

from mhbridge.testing.faults import UNPROCESSABLE, Asked, Fault, slow
from mhbridge.testing.receiving import ReceivingServer
from world import World

__all__ = ["PEOPLE", "Inbox", "Person"]

_MARK = re.compile(rb"N(\d{6})-(\d{4})E")
_STATUS = re.compile(rb'"Composition".{0,2000}?"status":"([a-z-]+)"', re.DOTALL)
_LOCAL = re.compile(rb'"M-(\d{6})"')


class Inbox(ReceivingServer):
    """A recipient: it keeps of what it is sent only which message it is of, and since when it has it."""

    def __init__(self, world: World, name: str, plan: Any) -> None:
        super().__init__(clock=world.now, plan=self._fate)
        self.name = name
        self.silent: list[Outage] = []
        self._wild = plan
        #: (patient, number) of a message → when it came.
        self.has: dict[tuple[int, int], datetime] = {}
        #: Patient → what it was told of them last: `final`, or `entered-in-error`.
        self.told: dict[int, str] = {}

    def _fate(self, asked: Asked) -> Fault:
        if any(one.begins <= self._clock() < one.ends for one in self.silent):
            return slow(120.0)
        if self.name == "gp" and asked.path.startswith("Bundle/") and asked.path.endswith(("00", "5a")):
            # Now and then something is not wanted, however often it is sent: a person has to look.
            return UNPROCESSABLE
        return self._wild(asked)

    def _carried_out(self, request: web.Request, body: bytes) -> web.Response:  # noqa: ARG002
        for patient, number in _MARK.findall(body):
            self.has.setdefault((int(patient), int(number)), self._clock())
        if self.name == "deaths":
            status, whose = _STATUS.search(body), _LOCAL.search(body)
            assert status is not None
            assert whose is not None
            self.told[int(whose[1])] = status[1].decode()
        return web.Response(status=200, headers={"ETag": 'W/"1"'})


@dataclass(frozen=True, slots=True)
class Person:
    """
    Somebody who looks after a queue.

    Args:
        hours: from when to when.
        every: so often they look, in minutes.
        often: how likely it is that they take what they see.
    """

    name: str
    queue: str
    hours: tuple[int, int]
    every: int = 30
    often: float = 0.8


#: By name, as it stands on the rota. All invented.
PEOPLE = (
    Person("Sister Rowan Invented", "ward", (7, 20)),
    Person("Charge Nurse Ash Pretend", "ward", (20, 7), every=60, often=0.5),
    Person("Bed Manager Hazel Fictive", "bed-manager", (0, 24), every=20),
    Person("Dr Alder Madeup", "safety", (0, 24), every=20),
    Person("Nurse Willow Fictitious", "follow-up", (8, 20), every=60),
)
