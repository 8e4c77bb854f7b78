"""
Hospitals: patients and their stays, made from a seed, and who sends them and remembers what was answered.

Every message carries a mark of its own (`mark`), in the bed of an event and in the text of a letter, so that whoever
looks at what a receiver got can say which message it was. What a message says is also there as plain facts (`says`),
from which the checker makes its own picture of what the receiver should have in the end. All of it is invented.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mhbridge.testing.sending import mllp_peer

__all__ = ["GONE", "Attempts", "Message", "Stays", "mark", "over_mllp", "send", "slips"]

#: `""`: what was said before is no longer so.
GONE = '""'

_WARDS = ("ALDER", "LARCH", "ROWAN", "HAZEL")
_CONSULTANTS = ("9990001^INVENTED^Rowena", "9990002^PRETEND^Osric", "9990004^FICTIVE^Alaric")
#: What may happen within a stay after the admission; each is drawn again and again.
_WITHIN = ("A02", "A08", "A08")


def mark(patient: int, number: int) -> str:
    """Names a message at the receiver: the number of its patient, and its place in what is sent of that patient."""
    return f"N{patient:06d}-{number:04d}E"


@dataclass(frozen=True)
class Message:
    """
    One message as it is sent.

    Args:
        number: its place among the messages of its patient, in the order in which they are sent.
        says: fact → value; `None`, and what is not there, says nothing, `GONE` that it is no longer so.
    """

    control: str
    patient: int
    number: int
    event: str
    spell: str
    at: datetime
    body: bytes
    says: dict[str, str | None]

    @property
    def mark(self) -> str:
        return mark(self.patient, self.number)


class Stays:
    """
    Makes patients and their stays.

    Args:
        begin: from when on things happen. All of it should be past: nobody believes a clock that is far ahead.
        letters: whether a stay ends with one.
    """

    def __init__(self, random: random.Random, begin: datetime, *, letters: bool = True, run: str = "") -> None:
        self._random = random
        self._begin = begin
        self._letters = letters
        self._run = run

    def of(self, patient: int, count: int) -> list[Message]:
        """So many messages of one patient, in as many stays as it takes, in the order in which things happen."""
        made: list[Message] = []
        at, stay = self._begin + timedelta(minutes=self._random.randrange(1_440)), 0
        while len(made) < count:
            made += self._stay(patient, len(made), at, stay)
            at, stay = made[-1].at + timedelta(days=1), stay + 1
        return made[:count]

    def merge(self, retired: int, survivor: int, at: datetime) -> Message:
        """The records of two patients are one from now on (A40). It has no mark: nothing of it stands in a stay."""
        control, sent = f"WM{self._run}{retired:06d}", f"{at:%Y%m%d%H%M%S%z}"
        body = "\r".join([
            f"MSH|^~\\&|EXMH-PAS|EXMH|MHBRIDGE|EXAMPLE-ICS|{sent}||ADT^A40^ADT_A39|{control}|T|2.4|||AL|NE|GBR|UNICODE|EN",
            f"EVN||{sent}||||{at:%Y%m%d%H%M}",
            f"PID|1||{self._local(survivor)}^^^EXMH||MADEUP^Number{survivor % 97}^^^^^L||19750612|2",
            f"MRG|{self._local(retired)}^^^EXMH||||||MADEUP^Number{retired % 97}^^^^^L",
            "",
        ])  # fmt: skip
        return Message(control, survivor, -1, "A40", "", at, body.encode(), {})

    def _local(self, patient: int) -> str:
        return f"M-{patient:06d}{self._run}"

    def _stay(self, patient: int, number: int, at: datetime, stay: int) -> Iterator[Message]:
        draw, spell = self._random, f"SP-{patient:06d}-{stay:02d}{self._run}"
        events = ["A01", *draw.choices(_WITHIN, k=draw.randrange(1, 5))]
        if draw.random() < 0.8:
            events += ["A03"]
            events += ["MDM"] * self._letters
            if draw.random() < 0.3:
                events += ["A13", "A08", "A03"]
                events += ["MDM"] * self._letters
        admitted = discharged = at
        for event in events:
            at += timedelta(minutes=draw.randrange(5, 600))
            if event == "A03":
                discharged = at
            yield self._message(patient, number, event, spell, at, admitted, discharged)
            number += 1

    def _message(
        self, patient: int, number: int, event: str, spell: str, at: datetime, admitted: datetime, discharged: datetime
    ) -> Message:
        draw, control = self._random, f"W{self._run}{patient:06d}{number:04d}"
        ward = draw.choice(_WARDS)
        phone = draw.choice((None, None, GONE, f"01632 9601{draw.randrange(100):02d}"))
        consultant = draw.choice((None, *_CONSULTANTS))
        ended = f"|{discharged:%Y%m%d%H%M}" if event in ("A03", "MDM") else ""
        pid = f"PID|1||{self._local(patient)}^^^EXMH||MADEUP^Number{patient % 97}^^^^^L||19750612|2|||||{{phone}}"
        pv1 = (
            f"PV1|1|I|{ward}^^{{bed}}^EXMH-HARBOUR||||{{consultant}}||||||||||||{spell}^^^EXMH-SPELL"
            f"{'|' * 25}{admitted:%Y%m%d%H%M}{ended}"
        )
        kind = "MDM^T02^MDM_T02" if event == "MDM" else f"ADT^{event}"
        version, system, character = ("2.5.1", "WARD", "UNICODE UTF-8") if event == "MDM" else ("2.4", "PAS", "UNICODE")
        sent = f"{at:%Y%m%d%H%M%S%z}"
        head = [
            f"MSH|^~\\&|EXMH-{system}|EXMH|MHBRIDGE|EXAMPLE-ICS|{sent}||{kind}|{control}|T|{version}|||AL|NE|GBR|{character}|EN",
            f"EVN||{sent}||||{at:%Y%m%d%H%M}",
        ]
        if event == "MDM":
            says: dict[str, str | None] = {}
            rest = [
                pid.format(phone=""),
                pv1.format(bed="", consultant=_CONSULTANTS[0] + "^^^Dr^^^GMC"),
                f"TXA|1|DS|FT|||{at:%Y%m%d%H%M}|||9990002^PRETEND^Osric^^^Dr^^^GMC|||L-{control}^EXMH-LETTER|||||AU||AV",
                "OBX|1|ST|AUTHORGRADE^Author grade^EXMH||Specialty doctor||||||F",
                f"OBX|2|TX|CLINSUM^Clinical summary^EXMH||What happened is {mark(patient, number)}||||||F",
            ]
        else:
            says = {"bed": mark(patient, number), "ward": ward, "phone": phone, "consultant": consultant}
            if event in ("A03", "A13"):
                says["status"] = "finished" if event == "A03" else GONE
            said = "" if consultant is None else f"{consultant}^^^Dr^^^GMC"
            rest = [pid.format(phone=phone or ""), pv1.format(bed=mark(patient, number), consultant=said)]
        body = "\r".join([*head, *rest, ""]).encode()
        return Message(control, patient, number, event, spell, at, body, says)


def slips(random: random.Random, messages: Sequence[Message], often: float) -> list[Message]:
    """The same, where now and then two neighbours change places: sent out of the order in which they happened."""
    slipped = list(messages)
    for n in range(len(slipped) - 1):
        if random.random() < often:
            slipped[n], slipped[n + 1] = slipped[n + 1], slipped[n]
    return slipped


@dataclass
class Attempts:
    """
    What was sent, by control id, and what became of it as far as the senders know.

    Attributes:
        answered: control id → the code of the first answer; only what was answered is promised anything.
        order: patient → control ids, in the order in which each was first answered.
        repeats: how often something was sent again.
    """

    attempted: dict[str, Message] = field(default_factory=dict)
    answered: dict[str, str] = field(default_factory=dict)
    order: dict[int, list[str]] = field(default_factory=dict)
    repeats: int = 0

    @property
    def unknown(self) -> set[str]:
        """Sent, and nobody has said anything."""
        return set(self.attempted) - set(self.answered)

    @property
    def late(self) -> set[str]:
        """Answered after something of the same patient that happened later."""
        found = set()
        for controls in self.order.values():
            newest = datetime.min.replace(tzinfo=UTC)
            for control in controls:
                message = self.attempted[control]
                if message.at < newest:
                    found.add(control)
                newest = max(newest, message.at)
        return found

    @property
    def accepted(self) -> set[str]:
        """What a sender was told is safe. AE means kept, too, but for a person."""
        return {control for control, code in self.answered.items() if code in ("AA", "CA", "202", "200", "archive")}

    def note(self, message: Message, code: str) -> None:
        if message.control not in self.answered:
            self.answered[message.control] = code
            self.order.setdefault(message.patient, []).append(message.control)


Deliver = Callable[[Message], Awaitable[str]]
"""Sends one message and returns the code of the answer. Raises when there is none."""


async def send(
    messages: Sequence[Message],
    deliver: Deliver,
    attempts: Attempts,
    *,
    pause: Callable[[], float] = lambda: 0.0,
    patience: float = 5.0,
    again: Callable[[int], int | None] = lambda _sent: None,
) -> None:
    """
    One hospital system: one message after the other, each sent until it is answered, as such systems do.

    Args:
        pause: seconds between messages.
        patience: seconds before the same is sent again.
        again: which of so many that were answered is sent once more, if any.
    """
    for sent, message in enumerate(messages, 1):
        await asyncio.sleep(pause())
        attempts.attempted[message.control] = message
        while True:
            try:
                code = await deliver(message)
            except (OSError, EOFError, TimeoutError):
                code = ""
            if code and code not in ("AR", "CR", "503"):
                break
            attempts.repeats += 1
            await asyncio.sleep(patience)
        attempts.note(message, code)
        repeated = again(sent)
        if repeated is not None:
            earlier = messages[repeated]
            attempts.repeats += 1
            with suppress(OSError, EOFError, TimeoutError):
                code = await deliver(earlier)
                assert code in (attempts.answered[earlier.control], "AR", "CR", "503"), "not the first answer"


def over_mllp(host: str, port: int) -> Deliver:
    """A connection for each message; what is there may die at any instant."""

    async def deliver(message: Message) -> str:
        async with mllp_peer(host, port) as peer:
            answer = await peer.send(message.body)
        said = next(line for line in answer.split(b"\r") if line.startswith(b"MSA")).split(b"|")
        assert said[2].decode() == message.control, "the answer to another message"
        return said[1].decode()

    return deliver
