"""
A mental health trust over days or a year: wards that admit, discharge and take discharges back, letters that are
written in time, late or never, receivers and systems that go down, and people who look after their queues.

`Trust.run` tells it from the first day until a month after the last, and `judged` says of each discharge and each
recipient whether the summary was there within 24 hours, or a person had taken the task of it by then. Whether it was
there the recipients say, and when somebody took a task the people say, not the gateway.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from receivers import at_random
from scene import MLLP, ROOT, SUPPLIER
from senders import Stays

from mhbridge.adapters.sql.ready import patient_token
from mhbridge.errors import StoreError
from mhbridge.model import Key
from mhbridge.testing.faults import UNPROCESSABLE, Asked, Fault, slow
from mhbridge.testing.receiving import ReceivingServer
from mhbridge.testing.sending import mllp_peer
from world import Killed, World

__all__ = ["RECIPIENTS", "Judged", "Trust", "Year"]

#: Who must have the summary of every discharge.
RECIPIENTS = ("gp", "team")
_DAY = timedelta(hours=24)
#: Where the wards are: what happens is written in their time.
_LONDON = ZoneInfo("Europe/London")
#: The system of its own numbers.
_PATIENT = "exmh-patient"
_MARK = re.compile(rb"N(\d{6})-(\d{4})E")

_GATEWAY = """
[gateway]
name = "trust"
mode = "test"
workers = 0
store = "sqlite:store/mhbridge.db"
mappings = ["{mappings}"]

[[receiver]]
supplier = "{supplier}"
kind = "mllp"
listen = "{host}:{port}"

[[destination]]
name = "spine"
kind = "webhook"
url = "{spine}"
secret = "file:secret"
deadline = "24h"

[[destination]]
name = "gp"
kind = "fhir"
url = "{gp}"
deadline = "24h"

[[destination]]
name = "team"
kind = "webhook"
url = "{team}"
secret = "file:secret"
deadline = "24h"

[[route]]
documents = ["encounter-event"]
to = ["spine"]

[[route]]
documents = ["mental-health-inpatient-discharge"]
to = {to}
"""


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


@dataclass(order=True, slots=True)
class _Happening:
    """Something that the trust's systems send."""

    at: datetime
    patient: int
    number: int
    event: str
    admitted: datetime
    left: datetime


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


@dataclass
class Judged:
    """
    What came of the discharges that stood for 24 hours, recipient by recipient.

    Attributes:
        neither: the discharge was nobody's: no summary, and no person had taken the task.
    """

    messages: int = 0
    discharges: int = 0
    cancelled: int = 0
    delivered: int = 0
    escalated: int = 0
    later: int = 0
    neither: list[tuple[int, str]] = field(default_factory=list)
    by_whom: Counter[str] = field(default_factory=Counter)
    differences: tuple[str, ...] = ()
    outages: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0

    def __str__(self) -> str:
        due = self.delivered + self.escalated + len(self.neither)
        share = 100 * (self.delivered + self.escalated) / due if due else 100.0
        takers = ", ".join(f"{name} {n}" for name, n in sorted(self.by_whom.items()))
        outages = ", ".join(f"{n} of {what}" for what, n in sorted(self.outages.items()))
        return (
            f"{self.messages:,} messages, {self.discharges:,} discharges ({self.cancelled} taken back), "
            f"{self.outages.total()} outages ({outages})\n"
            f"{due:,} summaries due: {self.delivered:,} there within 24 hours, {self.escalated:,} with a named person "
            f"by then ({self.later:,} of them came later), {len(self.neither)} with nobody: {share:.2f} %\n"
            f"tasks taken by: {takers}"
        )


class Inbox(ReceivingServer):
    """A recipient: it keeps of what it is sent only which message it is of, and since when it has it."""

    def __init__(self, world: World, name: str, plan: Any) -> None:
        super().__init__(clock=world.now, plan=self._fate)
        self.name = name
        self.silent: list[Outage] = []
        self._wild = plan
        #: (patient, number) of a message → when it came.
        self.has: dict[tuple[int, int], datetime] = {}

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
)


class Trust:
    """
    Args:
        to: who is sent the summaries.
        people: who look after the queues.
    """

    def __init__(self, world: World, year: Year, *, to: tuple[str, ...] = RECIPIENTS, people: Any = PEOPLE) -> None:
        self.world, self.year, self.people = world, year, people
        self._to = to
        self._random = world.random
        self._begins = world.now()
        self._ends = self._begins + timedelta(days=year.days)
        self._makes = Stays(world.random, world.now())
        self.discharges: list[Discharge] = []
        self.outages = list(self._outages())
        self.sent = self.unanswered = 0
        #: Clock → when, and by whom, its task was taken first.
        self.taken: list[tuple[int, datetime, str]] = []
        self.gateway: Any = None
        wild = at_random(self._random, lost=0.01, late=0.03, refused=0.01)
        self.inboxes = {name: Inbox(world, name, wild) for name in ("spine", *RECIPIENTS)}

    # --- what happens ---

    def _outages(self) -> Iterator[Outage]:
        draw = self._random
        kinds = ["gp", "gateway", "PAS", "team", "WARD", "spine", "gp silent", "gateway", "team silent", "PAS"]
        longest = {"gateway": 3, "PAS": 8, "WARD": 10, "gp silent": 6, "team silent": 6}
        for number in range(self.year.outages):
            what = kinds[number % len(kinds)]
            begins = self._begins + (number + draw.random()) * timedelta(days=self.year.days) / self.year.outages
            yield Outage(what, begins, begins + timedelta(hours=draw.uniform(0.5, longest.get(what, 36))))

    def _stays(self) -> list[_Happening]:
        """All that is sent, in the order in which it happens. Those who were there before are only heard of later."""
        draw, found = self._random, list[_Happening]()
        each = max(self.year.a_day / self.year.discharges - 4, 0)
        before = min(self.year.days * 2, 60)
        for patient in range(round((self.year.days + before) * self.year.discharges)):
            admitted = self._begins + timedelta(days=draw.uniform(-before, self.year.days))
            left = admitted + timedelta(days=draw.uniform(min(3, self.year.days / 4), before))
            found += (one for one in self._stay(patient, admitted, left, each) if self._begins <= one.at < self._ends)
        return sorted(found)

    def _stay(self, patient: int, admitted: datetime, left: datetime, each: float) -> Iterator[_Happening]:
        draw, number = self._random, 0

        def happens(at: datetime, event: str) -> _Happening:
            nonlocal number
            number += 1
            return _Happening(at, patient, number - 1, event, admitted, left)

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

    def _note(self, discharge: Discharge) -> None:
        if self._begins <= discharge.left < self._ends:
            self.discharges.append(discharge)

    # --- who does it ---

    async def run(self) -> Judged:
        """Tell it to its end, and judge it."""
        happenings = self._stays()
        letters = [one for one in happenings if one.event == "MDM"]
        events = [one for one in happenings if one.event != "MDM"]
        for inbox in self.inboxes.values():
            inbox.silent = [one for one in self.outages if one.what == f"{inbox.name} silent"]
            await inbox.start()
        helpers = [asyncio.create_task(self._keep())]
        helpers += [asyncio.create_task(self._down(inbox)) for inbox in self.inboxes.values()]
        helpers += [asyncio.create_task(self._looks_after(person)) for person in self.people]
        await asyncio.gather(self._system("PAS", events), self._system("WARD", letters))
        await asyncio.sleep(30 * 3_600)
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        judged = await self._judged()
        await self.gateway.stop()
        for inbox in self.inboxes.values():
            await inbox.stop()
        return judged

    async def _until(self, at: datetime) -> None:
        await asyncio.sleep(max((at - self.world.now()).total_seconds(), 0))

    async def _system(self, name: str, happenings: list[_Happening]) -> None:
        """A system of the trust: what happens is sent when it happens, until it is answered."""
        down = [one for one in self.outages if one.what == name]
        for one in happenings:
            await self._until(one.at)
            for outage in down:
                if outage.begins <= self.world.now() < outage.ends:
                    await self._until(outage.ends)
            spell = f"SP-{one.patient:06d}"
            message = self._makes._message(
                one.patient,
                one.number,
                one.event,
                spell,
                *(at.astimezone(_LONDON) for at in (one.at, one.admitted, one.left)),
            )
            self.sent += 1
            while not await self._answered(message.body):
                self.unanswered += 1
                await asyncio.sleep(60)

    async def _answered(self, body: bytes) -> bool:
        try:
            async with asyncio.timeout(60), mllp_peer(*MLLP) as peer:
                answer = await peer.send(body)
        except (OSError, EOFError, TimeoutError):
            return False
        return b"\rMSA|AR" not in answer

    async def _keep(self) -> None:
        """The gateway: killed at its outages, and started when they are over."""
        (self.world.folder / "secret").write_text("an invented secret of some length")
        text = _GATEWAY.format(
            mappings=ROOT / "mappings", supplier=SUPPLIER, host=MLLP[0], port=MLLP[1],
            to=json.dumps(self._to or "nobody"),
            **{name: inbox.url for name, inbox in self.inboxes.items()},
        )  # fmt: skip
        for outage in [*(one for one in self.outages if one.what == "gateway"), None]:
            self.gateway = await self.world.gateway(text)
            if outage is None:
                return
            await self._until(outage.begins)
            dead, self.gateway = self.gateway, None
            dead.kill()
            await self._until(outage.ends)

    async def _down(self, inbox: Inbox) -> None:
        for outage in self.outages:
            if outage.what == inbox.name:
                await self._until(outage.begins)
                await inbox.stop()
                await self._until(outage.ends)
                await inbox.start()

    async def _looks_after(self, person: Person) -> None:
        """Somebody at work: looks at the queue again and again, and takes what is there under their own name."""
        first, last = person.hours
        while True:
            await asyncio.sleep(person.every * 60)
            hour = self.world.now().hour
            if not (first <= hour < last if first < last else hour >= first or hour < last):
                continue
            gateway = self.gateway
            if gateway is None or gateway.dead:
                continue
            try:
                for task in await gateway.files.tasks(queue=person.queue):
                    if task.holder or task.what != "clock" or self._random.random() > person.often:
                        continue
                    if await gateway.files.take_task(task.id, person.name, self.world.now()):
                        self.taken.append((task.about, self.world.now(), person.name))
            except (StoreError, Killed):
                continue

    # --- what came of it ---

    async def _judged(self) -> Judged:
        files = self.gateway.files
        clocks = await files.ask(
            lambda reader: reader.session.statement(
                "select c.id, c.patient, coalesce(d.name, '') from clock c left join destination d"
                " on d.id = c.destination where c.name = 'summary-24h'",
                {},
            )
        )
        patients = await files.ask(lambda reader: dict(reader.session.statement("select token, id from patient", {})))
        keys = await files.ask(lambda reader: reader.keys)
        where = {about: (patient, name) for about, patient, name in clocks}
        taken: dict[tuple[int, str], list[tuple[datetime, str]]] = {}
        for about, at, who in self.taken:
            if about in where:
                taken.setdefault(where[about], []).append((at, who))
        found = Judged(self.sent, differences=(await self.gateway.status()).differences, unanswered=self.unanswered)
        found.outages.update(one.what for one in self.outages)
        for one in self.discharges:
            due = one.left + _DAY
            if one.cancelled is not None and one.cancelled < due:
                found.cancelled += 1
                continue
            found.discharges += 1
            about = patients.get(patient_token(keys, Key(_PATIENT, f"M-{one.patient:06d}")), 0)
            for name in RECIPIENTS:
                came = [at for n in one.letters if (at := self.inboxes[name].has.get((one.patient, n))) is not None]
                first = min(came, default=None)
                if first is not None and first <= due:
                    found.delivered += 1
                    continue
                # Where nobody is sent it, its clock is nobody's, too.
                takers = [*taken.get((about, name), ()), *taken.get((about, ""), ())]
                in_time = sorted((at, who) for at, who in takers if one.left <= at <= due)
                if not in_time:
                    found.neither.append((one.patient, name))
                    continue
                found.escalated += 1
                found.later += first is not None
                found.by_whom[in_time[0][1]] += 1
        return found
