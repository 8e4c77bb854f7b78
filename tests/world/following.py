"""
Who sees a patient after they have left a ward, and when: contacts that count, some late, some that reached nobody or by
ways that do not count, and patients whom nobody sees. All of it is invented.

The trust's community teams send them as a daily list, as those of another example do: the mapping of that is theirs.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from pathlib import Path

from living import LONDON, Discharge, Fate, number_of
from scene import ROOT, SUPPLIER

__all__ = ["Contact", "Followed", "contacts", "due", "judge", "mappings_with_contacts"]

_THEIRS = "example-inpatient"
_HEADER = (ROOT / "fixtures" / _THEIRS / "contacts" / "followed-up.csv").read_text("utf-8").splitlines()[0]
#: Mechanism and attendance of MHSDS 6: in person, by telephone or video, and seen, if late. What reached the patient by
#: text message or e-mail does not count, nor does an appointment that they did not come to.
_COUNTS = (("01", "5"), ("02", "5"), ("11", "6"))
_DOES_NOT = (("06", "5"), ("05", "5"), ("01", "3"), ("02", "4"))
#: Of a hundred who leave: seen in time, seen late, reached by what does not count; of the others nobody hears.
_SHARES = (78, 6, 8)


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact, or an appointment that came to nothing. `said_at` is when the list has it."""

    patient: int
    number: int
    at: datetime
    said_at: datetime
    how: str
    reached: str

    @property
    def counts(self) -> bool:
        """The published measure counts it."""
        return (self.how, self.reached) in _COUNTS

    @property
    def body(self) -> bytes:
        """The list with this one row."""
        at, said = (one.astimezone(LONDON) for one in (self.at, self.said_at))
        row = (
            f"K{self.patient:06}-{self.number}", "New", f"M-{self.patient:06}", number_of(self.patient), "N",
            f"{at:%Y-%m-%d}", f"{at:%H:%M:%S}", self.how, self.reached, "T7", "Example North Home Treatment Team",
            f"{said:%Y-%m-%d}", f"{said:%H:%M:%S}",
        )  # fmt: skip
        return f"{_HEADER}\r\n{','.join(row)}\r\n".encode()


@dataclass
class Followed:
    """
    What came of those who were to be seen within three days.

    Attributes:
        neither: nobody saw them in time, and no person had taken the task by then.
        otherwise: the gateway has it otherwise than it was.
    """

    in_time: int = 0
    escalated: int = 0
    excluded: int = 0
    neither: list[int] = field(default_factory=list)
    otherwise: list[tuple[int, str, str]] = field(default_factory=list)
    by_whom: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        counted = self.in_time + self.escalated + len(self.neither)
        share = 100 * (self.in_time + self.escalated) / counted if counted else 100.0
        return (
            f"{counted:,} follow-ups due ({self.excluded} died or were taken back): {self.in_time:,} within three "
            f"days, {self.escalated:,} with a named person by then, {len(self.neither)} with nobody: {share:.2f} %; "
            f"{len(self.otherwise)} otherwise than they were"
        )


def due(left: datetime) -> datetime:
    """To the end of the third day after, as the measure counts them."""
    day = left.astimezone(LONDON).date() + timedelta(days=4)
    return datetime.combine(day, time(), LONDON)


def contacts(fate: Fate, draw: random.Random) -> list[Contact]:
    """All that the teams say, in the order in which they do."""
    found = [one for discharge in fate.discharges for one in _after(discharge, draw) if one.said_at < fate.ends]
    return sorted(found, key=lambda one: (one.said_at, one.patient))


def _after(discharge: Discharge, draw: random.Random) -> Iterator[Contact]:
    seen, late, not_so = _SHARES
    drawn, left = draw.uniform(0, 100), discharge.left
    if discharge.cancelled is not None:
        return
    numbers = iter(range(9))

    def contact(hours: float, way: tuple[str, str]) -> Contact:
        at = (left + timedelta(hours=hours)).replace(second=0, microsecond=0)
        return Contact(discharge.patient, next(numbers), at, at + timedelta(hours=draw.uniform(0.2, 12)), *way)

    if drawn > seen + late + not_so:
        return
    if drawn > seen or draw.random() < 0.2:
        yield contact(draw.uniform(2, 30), draw.choice(_DOES_NOT))
    if drawn <= seen:
        # Neither so near to the end of the third day that it is a question of minutes.
        hours = draw.uniform(3, (due(left) - left) / timedelta(hours=1) - 1)
        yield contact(hours, draw.choice(_COUNTS))
    elif drawn <= seen + late:
        yield contact((due(left) - left) / timedelta(hours=1) + draw.uniform(1, 60), draw.choice(_COUNTS))


def judge(
    fate: Fate,
    said: Iterable[Contact],
    stands: Mapping[int, str],
    taken: Mapping[int, Iterable[tuple[datetime, str]]],
) -> Followed:
    """
    Say of each who left, and whose three days were over in the time that was simulated, what came of it.

    Args:
        stands: patient → how the gateway's clock stands.
        taken: patient → when, and by whom, the task of it was taken.
    """
    found, dead = Followed(), {death.patient: death for death in fate.deaths}
    seen: dict[int, list[Contact]] = {}
    for one in said:
        if one.counts:
            seen.setdefault(one.patient, []).append(one)
    for one in fate.discharges:
        ends, death = due(one.left), dead.get(one.patient)
        if ends > fate.ends:
            continue
        if one.cancelled is not None or (death is not None and (death.removed is None or death.removed > fate.ends)):
            found.excluded += 1
            continue
        came = [contact.at for contact in seen.get(one.patient, ())]
        expected = ("met",) if any(at <= ends for at in came) else ("late",) if came else ("missed", "closed")
        # Who ends the task of one that was missed ends the clock, and a contact that is heard of later changes nothing.
        expected += ("closed",) * (expected == ("late",))
        stood = stands.get(one.patient, "no clock")
        if stood not in expected:
            found.otherwise.append((one.patient, stood, expected[0]))
        if expected[0] == "met":
            found.in_time += 1
            continue
        takers = sorted(each for each in taken.get(one.patient, ()) if one.left <= each[0] <= ends)
        if takers:
            found.escalated += 1
            found.by_whom[takers[0][1]] += 1
        else:
            found.neither.append(one.patient)
    return found


def mappings_with_contacts(folder: Path) -> Path:
    """A folder of mappings to stand before the built-in ones, in which the trust has a daily list of contacts."""
    theirs, ours = (ROOT / "mappings" / "suppliers" / name for name in (_THEIRS, SUPPLIER))
    to = folder / "suppliers" / SUPPLIER
    (to / "codes" / "tables").mkdir(parents=True)
    text = (theirs / "contacts.yaml").read_text("utf-8").replace(f"{_THEIRS}/", f"{SUPPLIER}/")
    tables = ("contact_act.csv", "restricted.csv")
    for name in tables:
        text = text.replace(f"file: {name}", f"file: of_contacts_{name}")
        (to / "codes" / "tables" / f"of_contacts_{name}").write_bytes((theirs / "codes" / "tables" / name).read_bytes())
    (to / "contacts.yaml").write_text(text.replace('"exip-patient"', '"exmh-patient"'), "utf-8")
    header, *own = (ours / "codes" / "systems.csv").read_text("utf-8").splitlines()
    more = [
        line
        for line in (theirs / "codes" / "systems.csv").read_text("utf-8").splitlines()
        if line.startswith(("exip-contact,", "exip-team,", "exip-row-status,", "exip-restricted,"))
    ]
    (to / "codes" / "systems.csv").write_text("\n".join((header, *own, *more, "")), "utf-8")
    return folder
