"""What looks again and again: when it looks next, and that nothing a look runs into ends it. Time jumps."""

from __future__ import annotations

import asyncio
import io

import pytest

from jumping import Jumping
from mhbridge import log as logs
from mhbridge.errors import StoreError
from mhbridge.gateway.rounds import Rounds


class Looking(Rounds):
    """Notes when it looked; each look ends as the plan says: in seconds, or in a failure."""

    def __init__(self, stream, *plan, **options):
        super().__init__(log=logs.make(stream), kind="looking", **options)
        self._plan, self.at = list(plan), []

    async def _round(self):
        self.at.append(round(asyncio.get_running_loop().time()))
        what = self._plan.pop(0) if self._plan else 1_000.0
        if isinstance(what, Exception):
            raise what
        return what


def looked(*plan, wakes=(), until=100.0, **options):
    """(at which seconds it looked, what it said)."""
    stream = io.BytesIO()

    async def main():
        looking = Looking(stream, *plan, **options)
        await looking.open()
        for at in wakes:
            asyncio.get_running_loop().call_later(at, looking.wake)
        await asyncio.sleep(until)
        await looking.close()
        await asyncio.sleep(5_000)
        await looking.close()
        return looking.at

    with asyncio.Runner(loop_factory=Jumping) as runner:
        return runner.run(main()), stream.getvalue().decode()


REFUSED = StoreError("S201", "the disk is full")


@pytest.mark.parametrize(
    ("plan", "options", "at"),
    [
        ([], {}, [0]),
        ([10.0, 20.0], {}, [0, 10, 30]),
        ([0.0, 0.0, 5.0], {}, [0, 0, 0, 5]),
        ([10.0], {"wakes": [4, 7]}, [0, 4, 7]),
        ([10.0, 10.0, 10.0], {"wakes": [4, 7]}, [0, 4, 7, 17]),
        ([REFUSED, 10.0], {}, [0, 2, 12]),
        ([REFUSED, 10.0], {"refused": 30.0}, [0, 30, 40]),
        ([KeyError("x"), 10.0], {}, [0, 2, 12]),
        ([KeyError("x"), 10.0], {"failed": 60.0}, [0, 60, 70]),
        ([KeyError("x"), 50.0], {"failed": 60.0, "wakes": [5]}, [0, 5, 55]),
    ],
)
def test_when_it_looks(plan, options, at):
    assert looked(*plan, **options)[0] == at


def test_what_a_look_runs_into_is_said_and_never_its_words():
    _, said = looked(REFUSED, KeyError("a name"), until=10.0)
    assert '"code":"S201"' in said
    assert '"kind":"looking"' in said
    assert "a name" not in said
