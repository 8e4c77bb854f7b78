"""
`mhbridge serve` as one of several, started again and again to be killed: see `serving`.

Run as `node.py CONFIGURATION [FAULT …]`. What takes seconds between nodes takes less here, so that a test has time for
it. Faults, which the test must see:

    held-up     between the commit that says that bytes may leave, and what follows from it, some time goes by
    unchecked   the lease is not looked at before a send
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from datetime import timedelta
from typing import Any

import serving

from mhbridge.adapters.fhir_server import transactions
from mhbridge.adapters.sql.door import Door
from mhbridge.app import building
from mhbridge.gateway.outbox import Outbox
from mhbridge.gateway.parts import Parts
from mhbridge.pipeline import stepping

#: In place of five seconds after which nobody believes in a request any more.
SETTLE = 0.5


def hasten() -> None:
    building.SETTLE = SETTLE
    transactions._SETTLE = SETTLE
    stepping._LOOK_AGAIN = timedelta(seconds=SETTLE)
    Outbox.__init__.__kwdefaults__["settle"] = SETTLE


def hold_up() -> None:
    start = Door.start

    async def slowly(self: Any, *values: Any, **named: Any) -> Any:
        taken = await start(self, *values, **named)
        await asyncio.sleep(random.uniform(0, 0.4))
        return taken

    Door.start = slowly  # type: ignore[method-assign]


def send_unchecked() -> None:
    Parts.may_send = lambda _self, _patient: True  # type: ignore[method-assign]


FAULTS = {"held-up": hold_up, "unchecked": send_unchecked}

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hasten()
    configuration, *faults = sys.argv[1:]
    for fault in faults:
        FAULTS[fault]()
    serving.main(configuration)
