"""
A mental health trust over days or a year: wards that admit, discharge and take discharges back, letters that are
written in time, late or never, people who die, receivers and systems that go down, and people who look after queues.

`Trust.run` tells it to its end and says of each discharge and each recipient whether the summary was there within 24
hours, or a person had taken the task of it by then; and of each death whether the trust was told of it. Whether it was
there the recipients say, and when somebody took a task the people say, not the gateway.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import aiohttp
from around import PEOPLE, Inbox, Person
from following import Followed, contacts, judge, mappings_with_contacts
from living import LONDON, Fate, Happening, Year, notice, with_number
from receivers import at_random
from scene import MLLP, ROOT, SUPPLIER
from senders import Stays

from mhbridge.adapters.sql.ready import patient_token
from mhbridge.errors import StoreError
from mhbridge.model import Key
from mhbridge.testing.sending import mllp_peer, post
from world import Killed, World

__all__ = ["RECIPIENTS", "Judged", "Trust"]

#: Who must have the summary of every discharge.
RECIPIENTS = ("gp", "team")
_DAY = timedelta(hours=24)
_LOOKED_INTO = timedelta(days=3)
#: The system of its own numbers.
_PATIENT = "exmh-patient"

_GATEWAY = """
[gateway]
name = "trust"
mode = "test"
workers = 0
store = "sqlite:store/mhbridge.db"
mappings = ["{contacts}", "{mappings}"]

[http]
listen = "127.0.0.1:8080"

[[receiver]]
supplier = "{supplier}"
kind = "mllp"
listen = "{host}:{port}"

[[receiver]]
supplier = "{supplier}"
kind = "http"

[[receiver]]
supplier = "example-nems"
kind = "http"

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

[[destination]]
name = "deaths"
kind = "webhook"
url = "{deaths}"
secret = "file:secret"
deadline = "24h"

[[route]]
documents = ["encounter-event"]
to = ["spine"]

[[route]]
documents = ["death-notice", "care-contact"]
to = "nobody"

[[route]]
documents = ["death-after-discharge"]
to = {deaths_to}

[[route]]
documents = ["mental-health-inpatient-discharge"]
to = {to}
"""


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
    deaths: int = 0
    taken_back: int = 0
    not_found: list[int] = field(default_factory=list)
    not_so: list[int] = field(default_factory=list)
    followed: Followed = field(default_factory=Followed)

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
            f"tasks taken by: {takers}\n"
            f"{self.deaths} deaths within thirty days, {len(self.not_found)} not found; {self.taken_back} taken back, "
            f"as nobody had died; {len(self.not_so)} told of that were none\n"
            f"{self.followed}"
        )


class Trust:
    """
    Args:
        to: who is sent the summaries.
        deaths_to: who is told of deaths.
        seen: contacts are sent; without, nobody sees anybody after they have left.
        people: who look after the queues.
    """

    def __init__(
        self,
        world: World,
        year: Year,
        *,
        to: tuple[str, ...] = RECIPIENTS,
        deaths_to: tuple[str, ...] = ("deaths",),
        seen: bool = True,
        people: Any = PEOPLE,
    ) -> None:
        self.world, self.people = world, people
        self._to, self._deaths_to = to, deaths_to
        self._random = world.random
        self.fate = Fate(world.random, year, world.now())
        # Drawn apart: what else happens is the same with and without.
        self.contacts = contacts(self.fate, random.Random(f"contacts of {len(self.fate.happenings)}")) if seen else []
        self._makes = Stays(world.random, world.now())
        self.sent = self.unanswered = 0
        #: Clock → when, and by whom, its task was taken first.
        self.taken: list[tuple[int, datetime, str]] = []
        self.gateway: Any = None
        wild = at_random(self._random, lost=0.01, late=0.03, refused=0.01)
        self.inboxes = {name: Inbox(world, name, wild) for name in ("spine", "deaths", *RECIPIENTS)}

    # --- who does it ---

    async def run(self) -> Judged:
        """Tell it to its end, and judge it."""
        letters = [one for one in self.fate.happenings if one.event == "MDM"]
        events = [one for one in self.fate.happenings if one.event != "MDM"]
        for inbox in self.inboxes.values():
            inbox.silent = [one for one in self.fate.outages if one.what == f"{inbox.name} silent"]
            await inbox.start()
        helpers = [asyncio.create_task(self._keep())]
        helpers += [asyncio.create_task(self._down(inbox)) for inbox in self.inboxes.values()]
        helpers += [asyncio.create_task(self._looks_after(person)) for person in self.people]
        await asyncio.gather(
            self._system("PAS", events), self._system("WARD", letters), self._national(), self._teams()
        )
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

    async def _system(self, name: str, happenings: list[Happening]) -> None:
        """A system of the trust: what happens is sent when it happens, until it is answered."""
        down = [one for one in self.fate.outages if one.what == name]
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
                *(at.astimezone(LONDON) for at in (one.at, one.admitted, one.left)),
            )
            self.sent += 1
            body = with_number(message.body, one.patient, one.died)
            while not await self._answered(body):
                self.unanswered += 1
                await asyncio.sleep(60)

    async def _national(self) -> None:
        """What the national record says of deaths, and takes back."""
        said = [(death.said_at, death.patient, death) for death in self.fate.deaths if death.how == "national"]
        said += [
            (d.removed, d.patient, d) for d in self.fate.deaths if d.removed is not None and d.removed < self.fate.ends
        ]
        async with aiohttp.ClientSession() as session:
            for at, patient, death in sorted(said, key=lambda one: one[:2]):
                await self._until(at)
                body = notice(patient, death, at)
                self.sent += 1
                while not await self._posted(session, body):
                    self.unanswered += 1
                    await asyncio.sleep(60)

    async def _teams(self) -> None:
        """What the community teams say of whom they have seen."""
        async with aiohttp.ClientSession() as session:
            for one in self.contacts:
                await self._until(one.said_at)
                self.sent += 1
                while not await self._posted(session, one.body, f"{SUPPLIER}/http"):
                    self.unanswered += 1
                    await asyncio.sleep(60)

    async def _posted(self, session: aiohttp.ClientSession, body: bytes, feed: str = "example-nems/http") -> bool:
        try:
            async with asyncio.timeout(60):
                return (await post(session, "http://127.0.0.1:8080", feed, body)).status < 500
        except (OSError, aiohttp.ClientError, TimeoutError):
            return False

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
        with_contacts = mappings_with_contacts(self.world.folder / "contacts")
        text = _GATEWAY.format(
            mappings=ROOT / "mappings", contacts=with_contacts, supplier=SUPPLIER, host=MLLP[0], port=MLLP[1],
            to=json.dumps(self._to or "nobody"), deaths_to=json.dumps(self._deaths_to or "nobody"),
            **{name: inbox.url for name, inbox in self.inboxes.items()},
        )  # fmt: skip
        for outage in [*(one for one in self.fate.outages if one.what == "gateway"), None]:
            self.gateway = await self.world.gateway(text)
            if outage is None:
                return
            await self._until(outage.begins)
            dead, self.gateway = self.gateway, None
            dead.kill()
            await self._until(outage.ends)

    async def _down(self, inbox: Inbox) -> None:
        for outage in self.fate.outages:
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
                for task in await gateway.files.tasks(queue=person.queue, most=1_000):
                    if task.what == "clock" and self.world.now() - task.opened_at > _LOOKED_INTO:
                        # A summary that nobody will write: they have seen to it in another way.
                        await gateway.files.finish_task(task.id, person.name, "seen to by telephone", self.world.now())
                        continue
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
        found.outages.update(one.what for one in self.fate.outages)
        self._judge_deaths(found)
        await self._judge_followed(found, patients, keys)
        for one in self.fate.discharges:
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

    async def _judge_followed(self, found: Judged, patients: dict[bytes, int], keys: Any) -> None:
        clocks = await self.gateway.files.ask(
            lambda reader: reader.session.statement(
                "select id, patient, state from clock where name = 'follow-up-72h'", {}
            )
        )
        whose = {
            about: patient
            for patient in {one.patient for one in self.fate.discharges}
            if (about := patients.get(patient_token(keys, Key(_PATIENT, f"M-{patient:06d}")))) is not None
        }
        stands = {whose[about]: state for _, about, state in clocks if about in whose}
        owner = {clock: whose[about] for clock, about, _ in clocks if about in whose}
        taken: dict[int, list[tuple[datetime, str]]] = {}
        for clock, at, who in self.taken:
            if clock in owner:
                taken.setdefault(owner[clock], []).append((at, who))
        found.followed = judge(self.fate, self.contacts, stands, taken)

    def _judge_deaths(self, found: Judged) -> None:
        told = self.inboxes["deaths"].told
        for death in self.fate.deaths:
            removed = death.removed is not None and death.removed < self.fate.ends
            if not death.counts or removed:
                if told.get(death.patient) == "final":
                    found.not_so.append(death.patient)
                found.taken_back += told.get(death.patient) == "entered-in-error"
                continue
            found.deaths += 1
            if told.get(death.patient) != "final":
                found.not_found.append(death.patient)
        found.not_so += sorted(told.keys() - {death.patient for death in self.fate.deaths})
