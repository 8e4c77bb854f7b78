"""
`mhbridge serve`, started again and again to be killed: each time a process of its own, forked where all is imported.

Run as `serving.py CONFIGURATION [early]`. Each line on standard input starts one, and its number is printed. With
`early` the gateway answers before it commits: the fault that the test must see.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from mhbridge import app, cli, config
from mhbridge.adapters.sql.door import Door
from mhbridge.ports import Committed


def answer_early() -> None:
    """Every envelope is answered at once, and committed a moment later."""
    commit = Door.commit
    later: set[Any] = set()

    async def early(self: Any, envelope: Any, key: Any, outcomes: Any, answer: Any, *rest: Any, **named: Any) -> Any:
        async def commit_later() -> None:
            await asyncio.sleep(0.05)
            await commit(self, envelope, key, outcomes, answer, *rest, **named)

        later.add(asyncio.create_task(commit_later()))
        return Committed(answer, 1, tuple(range(len(outcomes))))

    Door.commit = early  # type: ignore[method-assign]


def _go_with_the_parent() -> None:
    """A gateway that nobody kills any more would go on with folders and files that the next test has."""
    with suppress(AttributeError):
        # PR_SET_PDEATHSIG, on Linux.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def main(configuration: str, how: str = "") -> None:
    # What a start imports and compiles is there in each child already; what it reads, it reads.
    app.build(config.load(Path(configuration)))
    if how == "early":
        answer_early()
    for _line in sys.stdin:
        child = os.fork()
        if not child:
            # Its standard input is not the parent's; and never no file at all, which another would take the number of.
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            _go_with_the_parent()
            cli.main(["serve", "--config", configuration])
        os.write(1, b"%d\n" % child)
        _, status = os.waitpid(child, 0)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main(*sys.argv[1:])
