"""
Merges as a barrier: what was under both identifiers leaves before the merge, what comes later after it, in one lane.

How a scenario is written is said in `ward`.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhbridge import pipeline
from mhbridge.adapters.sql import merging
from mhbridge.adapters.sql.reading import Reader
from mhbridge.adapters.sql.ready import patient_token
from ward import a_ward

SCENARIOS = {
    "what waits under both leaves before the merge, and what comes after it behind it": """
        update M-1 ELM
        update M-2 OAK
        update M-1 ASH
        merge M-1 M-2
        update M-1 YEW
        update M-2 FIR
        spine takes: M-2 OAK
        spine takes: M-1 ELM
        spine takes: M-1 ASH
        spine takes: M-2 retires M-1
        spine takes: M-2 retires M-1 YEW
        spine takes: M-2 retires M-1 FIR
        spine takes: nothing
    """,
    "what fails under the retired identifier holds the merge": """
        update M-1 ELM
        spine fails: M-1 ELM
        merge M-1 M-2
        spine fails: M-1 ELM
        spine takes: M-1 ELM
        spine takes: M-2 retires M-1
    """,
    "what is known of both is known from the merge on": """
        update M-1 01632960001
        update M-2
        merge M-1 M-2
        update M-2 ELM
        spine takes: M-2 LARCH
        spine takes: M-1 01632960001 LARCH
        spine takes: M-2 01632960001 retires M-1
        spine takes: M-2 01632960001 retires M-1 ELM
    """,
    "a merge again changes nothing": """
        update M-1 ELM
        merge M-1 M-2
        merge M-1 M-2
        spine takes: M-1 ELM
        spine takes: M-2 retires M-1
        spine takes: M-2 retires M-1
        spine takes: nothing
    """,
    "of a chain the last stays": """
        update M-1 ELM
        merge M-1 M-2
        merge M-2 M-3
        update M-1 OAK
        spine takes: M-1 ELM
        spine takes: M-2 retires M-1
        spine takes: M-3 retires M-2
        spine takes: M-3 retires M-2 OAK
    """,
    "a circle waits for a person": """
        merge M-1 M-2
        merge M-2 M-1: parked
    """,
    "a longer circle, too": """
        merge M-1 M-2
        merge M-2 M-3
        merge M-3 M-1: parked
    """,
    "and a fork": """
        merge M-1 M-2
        merge M-1 M-3: parked
    """,
    "while something is being sent under the retired identifier the merge waits": """
        update M-1 ELM
        spine begins: M-1 ELM
        merge M-1 M-2: stored
    """,
    "and is worked when that has come to its end": """
        update M-1 ELM
        spine begins: M-1 ELM
        merge M-1 M-2: stored
        wait 2
        message 2: stored
        spine takes: M-1 ELM
        wait 1
        message 2: done
        spine takes: M-2 retires M-1
    """,
    "what comes later of either waits behind a merge that waits, and others go on": """
        update M-1 ELM
        spine begins: M-1 ELM
        merge M-1 M-2: stored
        update M-2 OAK: stored
        update M-1 ASH: stored
        update M-3 YEW
        spine takes: M-3 YEW
        wait 2
        message 3: stored
        message 4: stored
        spine takes: M-1 ELM
        spine takes: nothing
        wait 2
        message 2: done
        message 3: done
        message 4: done
        spine takes: M-2 retires M-1
        spine takes: M-2 retires M-1 OAK
        spine takes: M-2 retires M-1 ASH
        spine takes: nothing
    """,
    "two merges that cross wait one for the other and not both": """
        update M-1 ELM
        spine begins: M-1 ELM
        merge M-1 M-2: stored
        merge M-2 M-1: stored
        update M-2 OAK: stored
        wait 2
        spine takes: M-1 ELM
        wait 2
        message 2: done
        message 3: parked
        message 4: done
        spine takes: M-2 retires M-1
        spine takes: M-2 retires M-1 OAK
    """,
    "behind a merge that is parked all go on": """
        merge M-1 M-3
        spine takes: M-3 retires M-1
        update M-2 ELM
        spine begins: M-2 ELM
        merge M-2 M-4: stored
        merge M-2 M-5: stored
        update M-5 OAK: stored
        wait 2
        spine takes: M-2 ELM
        wait 2
        message 3: done
        message 4: parked
        message 5: done
        spine takes: M-4 retires M-2
        spine takes: M-5 OAK
    """,
    "what is being sent under the one that stays is in nobody's way": """
        update M-2 ELM
        spine begins: M-2 ELM
        merge M-1 M-2
    """,
    "a merge that is undone is none": """
        update M-1 01632960001
        merge M-1 M-2
        spine takes: M-1 01632960001 LARCH
        spine takes: M-2 01632960001 retires M-1
        unlink M-1 M-2
        spine takes: M-2
        update M-1 ELM
        update M-2 OAK
        spine takes: M-1 01632960001 ELM
        spine takes: M-2 OAK
    """,
    "an undoing waits until all of it has left": """
        update M-1 ELM
        merge M-1 M-2
        unlink M-1 M-2: held
    """,
}


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
async def test_what_leaves(tmp_path: Path, scenario: str) -> None:
    async with a_ward(tmp_path) as ward:
        await ward.run(scenario)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
async def test_the_same_leaves_when_messages_are_worked_after_their_sender_is_answered(
    tmp_path: Path, scenario: str
) -> None:
    async with a_ward(tmp_path, fast=False) as ward:
        await ward.run(scenario)


async def test_the_control_without_the_barrier_the_merge_overtakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_said(books: object, retired: int, survivor: int, *_: object) -> None:
        books.join(retired, survivor)  # type: ignore[attr-defined]

    monkeypatch.setattr(merging, "merge", only_said)
    async with a_ward(tmp_path) as ward:
        await ward.run("update M-1 ELM\nspine fails: M-1 ELM\nmerge M-1 M-2")
        left = {await ward.deliver("spine", "begins"), await ward.deliver("spine", "begins")}
        assert left == {"M-1 ELM", "M-2 retires M-1"}


# --- any order of updates and merges -----------------------------------------------------------------------

PATIENTS = ("M-1", "M-2", "M-3")
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("update"), st.sampled_from(PATIENTS), st.sampled_from(["", "01632960001", "01632960002"]),
            st.sampled_from(["01", "02", "03", "04"]),
        ),
        st.tuples(st.just("merge"), st.sampled_from(PATIENTS), st.sampled_from(PATIENTS)),
    ),
    max_size=9,
)  # fmt: skip


class Twin:
    """The slow obvious rule: what all say of a patient, sorted anew, whoever was merged into whom."""

    def __init__(self) -> None:
        self.into: dict[str, str] = {}
        self.said: list[tuple[str, str, str]] = []

    def root(self, patient: str) -> str:
        while patient in self.into:
            patient = self.into[patient]
        return patient

    def merges(self, retired: str, survivor: str) -> bool:
        """Whether that can be; where it can, it is done."""
        chain = [survivor]
        while chain[-1] in self.into:
            chain.append(self.into[chain[-1]])
        if retired in chain:
            return False
        if retired in self.into:
            return self.root(retired) == chain[-1]
        self.into[retired] = chain[-1]
        return True

    def phone(self, patient: str) -> str:
        known = ""
        for _, whose, number in sorted(self.said, key=lambda one: one[0]):
            known = number if number and self.root(whose) == self.root(patient) else known
        return known


async def goes(path: Path, steps: list[tuple[str, ...]]) -> None:
    twin, has = Twin(), dict[str, str]()
    async with a_ward(path) as ward:
        for kind, patient, *words in steps:
            if kind == "merge":
                whose = words[0]
                state = await ward.send("merge", patient, whose)
                done = patient != whose and twin.merges(patient, whose)
                assert state == ("done" if done else "parked")
            else:
                whose = patient
                number, day = words
                assert await ward.send("update", patient, *filter(None, [number]), f"@{day}") == "done"
                twin.said.append((day, patient, number))
            while (said := await ward.deliver("spine", "takes")) != "nothing":
                name, *more = said.split()
                has[name] = more[0] if more and more[0].isdigit() else ""
            assert has.get(twin.root(whose), "") == twin.phone(whose)


@settings(max_examples=30)
@given(steps=STEPS)
def test_what_a_receiver_has_is_the_fold_of_all_that_were_merged(steps: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(goes(Path(folder), steps))


def test_the_control_without_the_identifiers_that_were_merged_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What leaves under the identifier that stays has then not the telephone number that the other knew.
    steps = [("update", "M-1", "01632960001", "01"), ("merge", "M-1", "M-2"), ("update", "M-2", "", "02")]
    asyncio.run(goes(tmp_path / "with", steps))
    monkeypatch.setattr(Reader, "_parts", {})
    monkeypatch.setattr(Reader, "note_merge", lambda self, *_: self.folds.clear())
    monkeypatch.setattr(
        Reader, "root", lambda self, one: one if isinstance(one, bytes) else patient_token(self.keys, one)
    )
    with pytest.raises(AssertionError, match="'' == '01632960001'"):
        asyncio.run(goes(tmp_path / "without", steps))


# --- who it is ----------------------------------------------------------------------------------------------

#: Of the record that goes. From the range of numbers that nobody has.
ITS_NUMBER = "9990001022"


def who(bundle: Any) -> tuple[str, list[str]]:
    """By what the patient of a transaction is looked up at the receiver, and the identifiers of it."""
    entry = next(one for one in bundle["entry"] if one["request"]["url"].startswith("Patient?")
                 and one["resource"].get("active") is not False)  # fmt: skip
    return entry["request"]["url"].rpartition("%7C")[2], [one["value"] for one in entry["resource"]["identifier"]]


async def named(path: Path) -> list[tuple[str, list[str]]]:
    """What leaves where an update of the retired record is newer than the next of the other, and one comes late."""
    async with a_ward(path) as ward:
        for line in (
            "update M-2 @02 OAK",
            f"update M-1 @20 ELM NHS={ITS_NUMBER}",
            "merge M-1 M-2",
            "update M-2 @10 FIR",
            "update M-1 @11 01632960003",
            "update M-1 @21 YEW",
        ):
            await ward.run(line)
            while await ward.deliver("spine", "takes") != "nothing":
                pass
        return [who(bundle) for bundle in ward.bodies]


async def test_who_it_is_says_the_record_that_stays_whatever_comes_later_of_the_other(tmp_path: Path) -> None:
    said = await named(tmp_path)
    assert said[:2] == [("M-2", ["M-2"]), ("M-1", [ITS_NUMBER, "M-1"])]
    assert said[2:] == [("M-2", ["M-2"])] * 4


async def test_the_control_a_fold_that_does_not_ask_whose_it_is_says_the_wrong_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "by_who_stays", lambda known, _: known)
    said = await named(tmp_path)
    assert ("M-1", [ITS_NUMBER, "M-1"]) in said[2:]


async def test_a_letter_under_the_identifier_that_stays_replaces_one_under_the_other(tmp_path: Path) -> None:
    async with a_ward(tmp_path) as ward:
        await ward.run("letter one\ngp takes: 1\nmerge M-104482 M-2\nletter two as M-2\ngp takes: 2 replaces 1")
