"""
Receivers: a FHIR server that counts effects by what they are about, and fails by plan.

An effect is a change of what the server holds; something sent again that changes nothing is none. The effects of each
message are found by its mark, in the order in which they came about.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Mapping
from typing import Any

from mhbridge.fhir.bundle import dumps
from mhbridge.testing.faults import DROP_AFTER, DROP_BEFORE, OK, Asked, Fault, Plan, slow, unavailable
from mhbridge.testing.holdings import Holdings, Written
from mhbridge.testing.receiving import ReceivingServer

__all__ = ["Receiver", "at_random", "restarts"]

_SYSTEM = "https://example-mental-health.example/id"
_MARK = re.compile(rb"N(\d{6})-(\d{4})E")


class _Recorded(Holdings):
    """Holdings that remember in which order things changed."""

    def __init__(self, clock: Callable[[], Any]) -> None:
        super().__init__(clock)
        #: (patient, number) of the message behind each change that has a mark.
        self.changes: list[tuple[int, int]] = []

    def _carry_out(self, plan: Any) -> Written:
        written = super()._carry_out(plan)
        if written.changed:
            marks = {(int(p), int(n)) for p, n in _MARK.findall(dumps(written.version.resource or {}))}
            self.changes += marks
        return written


class Receiver(ReceivingServer):
    """A server whose effects can be asked for by message."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.holdings: _Recorded = _Recorded(self._clock)

    @property
    def effects(self) -> dict[int, list[int]]:
        """Patient → the numbers of the messages whose effects came about, in order; twice where they did so twice."""
        found: dict[int, list[int]] = {}
        for patient, number in self.holdings.changes:
            found.setdefault(patient, []).append(number)
        return found

    def facts(self, spell: str, patient: str) -> dict[str, str]:
        """What it holds of a stay and its patient now, as plain facts."""
        encounter = _one(self.holdings, "Encounter", f"{_SYSTEM}/spell|{spell}")
        person = _one(self.holdings, "Patient", f"{_SYSTEM}/patient|{patient}")
        found = {"status": encounter.get("status", "")}
        places = [one["location"].get("display", "") for one in encounter.get("location", ())]
        found |= {"ward": places[0] if places else "", "bed": places[1] if len(places) > 1 else ""}
        who = [one["individual"]["identifier"]["value"] for one in encounter.get("participant", ())]
        found["consultant"] = who[0] if who else ""
        found["phone"] = next((one["value"] for one in person.get("telecom", ())), "")
        return {fact: value for fact, value in found.items() if value}


def _one(holdings: Holdings, type_: str, identifier: str) -> Mapping[str, Any]:
    found = holdings.search(type_, [("identifier", identifier)])
    return found[0] if found else {}


def at_random(random: random.Random, *, lost: float = 0.0, late: float = 0.0, refused: float = 0.0) -> Plan:
    """
    A plan by chance.

    Args:
        lost: of all requests so many get no answer, half of them after they were carried out.
        late: so many are answered after two seconds to two minutes.
        refused: so many are told to come again later.
    """

    def plan(_asked: Asked) -> Fault:
        drawn = random.random()
        if drawn < lost / 2:
            return DROP_BEFORE
        if drawn < lost:
            return DROP_AFTER
        if drawn < lost + late:
            return slow(random.uniform(2, 120))
        if drawn < lost + late + refused:
            return unavailable(*random.choice(((2.0, 429), (0.0, 503), (10.0, 503))))
        return OK

    return plan


async def restarts(receiver: Receiver, random: random.Random, every: float) -> None:
    """Stop and start it again and again, which cuts off whoever is connected. Never ends by itself."""
    while True:
        await asyncio.sleep(random.expovariate(1 / every))
        await receiver.stop()
        await asyncio.sleep(random.uniform(0.1, 60))
        await receiver.start()
