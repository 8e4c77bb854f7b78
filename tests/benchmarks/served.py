"""
The gateway under measurement, in a process of its own: `mhbridge serve`, and what it took when asked.

Started by `gateway.py`. A line `begin` on standard input starts the count, `end` prints one line of JSON with what was
used since then: CPU by thread, memory, and with `--profile` where the event loop was, sampled by CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from mhbridge import log as logs
from mhbridge.app import build, loop_factory, steady
from mhbridge.config import load

#: Whose code a sample is counted for: the innermost frame whose file has one of these in its path.
AREAS = (
    "mhbridge/adapters/mllp", "mhbridge/adapters/sqlite", "mhbridge/adapters/sql", "mhbridge/adapters/fhir_server",
    "mhbridge/gateway/outbox", "mhbridge/gateway/taking",
    "mhbridge/gateway/worker", "mhbridge/fhir/bundle", "mhbridge/fhir/narrative",
    "mhbridge/fhir", "mhbridge/formats/hl7v2/acknowledgement", "mhbridge/formats", "mhbridge/mapping/record",
    "mhbridge/mapping/known", "mhbridge/mapping/conversions", "mhbridge/mapping/assembly", "mhbridge/mapping",
    "mhbridge/pipeline", "mhbridge/log", "structlog", "aiohttp", "asyncio", "fhir_core", "pydantic", ".yaml",
)  # fmt: skip


class Sampler:
    """Where the main thread is whenever so much CPU time has gone by."""

    def __init__(self, every: float = 0.001) -> None:
        self.areas: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()
        #: The same, with all that was called from there.
        self.within: Counter[str] = Counter()
        self._every = every

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._take)
        signal.setitimer(signal.ITIMER_PROF, self._every, self._every)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _take(self, _signal: int, frame: FrameType | None) -> None:
        inner, outer, seen = frame, frame, set[str]()
        while outer is not None:
            name = outer.f_code.co_filename
            if "mhbridge" in name or "aiohttp" in name:
                seen.add(f"{name.rpartition('/')[2]}:{outer.f_code.co_name}")
            outer = outer.f_back
        self.within.update(seen)
        while frame is not None:
            name = frame.f_code.co_filename
            area = next((area for area in AREAS if area in name), "")
            if area:
                self.areas[area] += 1
                self.lines[f"{name.rpartition('/')[2]}:{frame.f_code.co_name}"] += 1
                return
            frame = frame.f_back
        self.areas["other" if inner is not None else "none"] += 1


class Used:
    """CPU by thread, from one moment on."""

    def __init__(self) -> None:
        self._begun = self._now()
        self._wall = time.monotonic()

    @staticmethod
    def _now() -> dict[str, float]:
        found = {"process": time.process_time()}
        for thread in threading.enumerate():
            if thread.ident is not None:
                clock = time.pthread_getcpuclockid(thread.ident)
                found[thread.name] = time.clock_gettime(clock)
        return found

    def since(self) -> dict[str, float]:
        return {name: used - self._begun.get(name, 0.0) for name, used in self._now().items()}


def _memory() -> dict[str, float]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"now": pages * os.sysconf("SC_PAGE_SIZE") / 1e6, "most": most / 1e3}


async def serve(options: argparse.Namespace) -> None:
    """Serve, and answer what is asked on standard input."""
    with options.log.open("ab") as stream:
        app = build(load(options.config, {}), log=logs.make(stream, gather=True))
        await app.open()
        steady()
        say({"address": next(r.address for name, r in app.receivers.items() if name.endswith("mllp"))})
        asked = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
        sampler, used = Sampler(), Used()
        while line := (await asked.readline()).strip():
            if line == b"begin":
                used = Used()
                if options.profile:
                    sampler = Sampler()
                    sampler.start()
            elif line == b"end":
                sampler.stop()
                status = await app.store.status(app.gateway._clock())
                say({
                    "cpu": used.since(), "memory": _memory(), "areas": sampler.areas.most_common(),
                    "lines": sampler.lines.most_common(40), "within": sampler.within.most_common(70),
                    "threads": {thread.native_id: thread.name for thread in threading.enumerate()},
                    "messages": status.messages,
                    "deliveries": status.deliveries, "differences": status.differences,
                })  # fmt: skip
        await app.close()
        # The last lines of the log leave at the end of this turn.
        await asyncio.sleep(0)


def say(what: dict[str, Any]) -> None:
    """One line for the parent."""
    print(json.dumps(what), flush=True)


def main() -> None:
    """Serve as the options say."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("config", type=Path)
    options.add_argument("log", type=Path)
    options.add_argument("--profile", action="store_true")
    options.add_argument("--validator", choices=("default", "tables", "none"), default="default")
    options.add_argument("--loop", choices=("default", "asyncio"), default="default")
    found = options.parse_args()
    if found.validator != "default":
        _validate_with(found.validator)
    with asyncio.Runner(
        loop_factory=loop_factory(load(found.config, {})) if found.loop == "default" else None
    ) as runner:
        runner.run(serve(found))


def _validate_with(which: str) -> None:
    from mhbridge.fhir.definitions import r4
    from mhbridge.fhir.validate import DefinitionsValidator
    from mhbridge.pipeline import stepping

    chosen: Any = DefinitionsValidator(r4(), ask_models=False) if which == "tables" else lambda _: ()
    stepping.default_validator = lambda: chosen  # type: ignore[assignment]


if __name__ == "__main__":
    main()
