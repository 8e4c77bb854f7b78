"""
What happens in a mental health trust over days or a year, made from a seed: stays, discharges that are taken back,
letters in time, late or never, deaths and who says them, and what goes down meanwhile. All of it is invented.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from scene import ROOT

__all__ = ["LONDON", "Death", "Discharge", "Fate", "Happening", "Outage", "Year", "notice", "number_of", "with_number"]

#: Where the wards are: what happens is written in their time.
LONDON = ZoneInfo("Europe/London")
_THIRTY_DAYS = timedelta(days=30)
_NOTICES = ROOT / "fixtures" / "example-nems" / "death-notices"


@dataclass(frozen=True, slots=True)
class Year:
    """
    How much happens.

    Args:
        a_day: messages; most say only that something of a stay has changed.
        discharges: a day.
        outages: so many, of receivers, of the trust's systems and of the gateway.
    """

    days: int = 365
    a_day: int = 500
    discharges: int = 12
    outages: int = 20
    #: Of a thousand who leave, so many die within thirty days, as many in the two months after, and so many of either
    #: are not dead after all.
    deaths: int = 20


@dataclass(order=True, slots=True)
class Happening:
    """Something that the trust's systems send."""

    at: datetime
    patient: int
    number: int
    event: str
    admitted: datetime
    left: datetime
    died: datetime | None = None


@dataclass(slots=True)
class Death:
    """
    Somebody died after they had left, or so it was said.

    Args:
        how: who says it first: `national`, or the trust's own `record`.
        removed: when the national record took it back.
    """

    patient: int
    left: datetime
    at: datetime
    said_at: datetime
    how: str
    removed: datetime | None = None

    @property
    def counts(self) -> bool:
        """It is one of thirty days."""
        return self.at.astimezone(LONDON).date() <= (self.left.astimezone(LONDON) + _THIRTY_DAYS).date()


@dataclass(slots=True)
class Discharge:
    """A patient left the ward. `cancelled` is when the hospital took that back."""

    patient: int
    left: datetime
    cancelled: datetime | None = None
    letters: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outage:
    """`what` is a receiver, `NAME silent`, a system of the trust (`PAS`, `WARD`) or `gateway`."""

    what: str
    begins: datetime
    ends: datetime


class Fate:
    """
    All that will happen, drawn once.

    Attributes:
        happenings: what the trust's systems send, in order.
    """

    def __init__(self, draw: random.Random, year: Year, begins: datetime) -> None:
        self._random, self.year = draw, year
        self._begins, self.ends = begins, begins + timedelta(days=year.days)
        self.discharges: list[Discharge] = []
        self.deaths: list[Death] = []
        self.outages = list(self._outages())
        self.happenings = self._stays()

    def _outages(self) -> Iterator[Outage]:
        draw = self._random
        kinds = ["gp", "gateway", "PAS", "team", "WARD", "spine", "gp silent", "gateway", "team silent", "PAS"]
        longest = {"gateway": 3, "PAS": 8, "WARD": 10, "gp silent": 6, "team silent": 6}
        for number in range(self.year.outages):
            what = kinds[number % len(kinds)]
            begins = self._begins + (number + draw.random()) * timedelta(days=self.year.days) / self.year.outages
            yield Outage(what, begins, begins + timedelta(hours=draw.uniform(0.5, longest.get(what, 36))))

    def _stays(self) -> list[Happening]:
        """All that is sent, in the order in which it happens. Those who were there before are only heard of later."""
        draw, found = self._random, list[Happening]()
        each = max(self.year.a_day / self.year.discharges - 4, 0)
        before = min(self.year.days * 2, 60)
        for patient in range(round((self.year.days + before) * self.year.discharges)):
            admitted = self._begins + timedelta(days=draw.uniform(-before, self.year.days))
            left = admitted + timedelta(days=draw.uniform(min(3, self.year.days / 4), before))
            found += (one for one in self._stay(patient, admitted, left, each) if self._begins <= one.at < self.ends)
        return sorted(found)

    def _stay(self, patient: int, admitted: datetime, left: datetime, each: float) -> Iterator[Happening]:
        draw, number = self._random, 0

        def happens(at: datetime, event: str) -> Happening:
            nonlocal number
            number += 1
            return Happening(at, patient, number - 1, event, admitted, left)

        yield happens(admitted, "A01")
        for at in sorted(draw.random() for _ in range(round(draw.uniform(0.5, 1.5) * each))):
            yield happens(admitted + at * (left - admitted), draw.choice(("A08", "A08", "A08", "A02")))
        yield happens(left, "A03")
        discharge = Discharge(patient, left.replace(second=0, microsecond=0))
        if draw.random() < 0.03:
            # It was taken back within hours, and the patient left another time.
            discharge.cancelled = left + timedelta(hours=draw.uniform(1, 10))
            yield happens(discharge.cancelled, "A13")
            self._note(discharge)
            left += timedelta(hours=draw.uniform(30, 200))
            yield happens(left, "A03")
            discharge = Discharge(patient, left.replace(second=0, microsecond=0))
        drawn = draw.random()
        if drawn < 0.97:
            within = (0.2, 6) if drawn < 0.7 else (6, 18) if drawn < 0.9 else (18, 70)
            written = left + timedelta(hours=draw.uniform(*within))
            discharge.letters.append(number)
            yield happens(written, "MDM")
            if draw.random() < 0.08:
                discharge.letters.append(number)
                yield happens(written + timedelta(hours=draw.uniform(1, 48)), "MDM")
        self._note(discharge)
        if draw.random() * 1_000 < 3 * self.year.deaths:
            yield from self._dies(patient, left, happens)

    def _dies(self, patient: int, left: datetime, happens: Any) -> Iterator[Happening]:
        """Who has left dies within thirty days, or in the two months after, and it is said by somebody, days later."""
        draw = self._random
        # Neither so near to the thirtieth day that it is a question of minutes.
        days = draw.choice((draw.uniform(0.05, 29.9), draw.uniform(30.1, 90)))
        # In some days there is not room for thirty.
        short = min(1.0, self.year.days / 90)
        at = left + timedelta(days=days * short)
        said_at = at + timedelta(days=draw.uniform(0.1, 6) * short)
        death = Death(patient, left, at, said_at, draw.choice(("national", "record")))
        if death.how == "national" and draw.random() < 0.2:
            death.removed = death.said_at + timedelta(days=draw.uniform(0.5, 5) * short)
        if not self._begins <= left < self.ends or death.said_at > self.ends:
            return
        self.deaths.append(death)
        if death.how == "record":
            said = happens(death.said_at, "A08")
            said.died = at
            yield said

    def _note(self, discharge: Discharge) -> None:
        if self._begins <= discharge.left < self.ends:
            self.discharges.append(discharge)


def number_of(patient: int) -> str:
    """An NHS number of the range for tests (999), with its check digit; each patient has another."""
    for last in range(10):
        digits = f"999{patient:05}{last}"
        check = 11 - sum(int(digit) * weight for digit, weight in zip(digits, range(10, 1, -1), strict=True)) % 11
        if check != 10:
            return f"{digits}{check % 11}"
    raise ValueError(patient)


def with_number(body: bytes, patient: int, died: datetime | None) -> bytes:
    """The message with a verified NHS number (PID-3, PID-32), and, where somebody died, when (PID-29, PID-30)."""
    head, pid, rest = body.partition(b"PID|")
    fields, _, rest = rest.partition(b"\r")
    parts = fields.decode().split("|")
    parts += [""] * (32 - len(parts))
    parts[2] = f"{number_of(patient)}^^^NHS~{parts[2]}"
    parts[31] = "NSTS01"
    if died is not None:
        parts[28:30] = f"{died.astimezone(LONDON):%Y%m%d%H%M}", "Y"
    return head + pid + "|".join(parts).encode() + b"\r" + rest


def notice(patient: int, death: Death, at: datetime) -> bytes:
    """A notice of the national record: informal, or, as the second of a patient, that it is removed."""
    name = "informal" if at == death.said_at else "removed"
    text = (_NOTICES / f"{name}.xml").read_text("utf-8").replace("9990001014", number_of(patient))
    text = text.replace("2025-03-20T23:40:00+00:00", f"{death.at:%Y-%m-%dT%H:%M:%S}+00:00")
    # All are born on one day: without that the national record and the trust's would be of two people.
    text = text.replace("1987-06-21", "1975-06-12")
    now = f"{at.replace(microsecond=0):%Y-%m-%dT%H:%M:%S}+00:00"
    return re.sub(r'(<(?:timestamp|sent|lastUpdated) value=")[^"]+', rf"\g<1>{now}", text).encode()
