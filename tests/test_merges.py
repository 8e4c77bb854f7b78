"""
Merges as a barrier: what was under both identifiers leaves before the merge, what comes later after it, in one lane.

How a scenario is written is said in `ward`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mhbridge.adapters.sqlite import merging
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
        merge M-1 M-2: held
    """,
    "and is worked when that has come to its end": """
        update M-1 ELM
        spine begins: M-1 ELM
        merge M-1 M-2: held
        wait 2
        message 2: held
        spine takes: M-1 ELM
        wait 1
        message 2: done
        spine takes: M-2 retires M-1
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


async def test_a_letter_under_the_identifier_that_stays_replaces_one_under_the_other(tmp_path: Path) -> None:
    async with a_ward(tmp_path) as ward:
        await ward.run("letter one\ngp takes: 1\nmerge M-104482 M-2\nletter two as M-2\ngp takes: 2 replaces 1")
