"""
`mhbridge serve`: one gateway in one process, until it is told to stop.

This module must never make what it serves but through `build`.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable

from mhbridge import config as settings
from mhbridge import log as logs
from mhbridge.app.building import build
from mhbridge.app.running import App
from mhbridge.errors import ConfigurationError

__all__ = ["loop_factory", "run", "steady"]


def run(config: settings.Config) -> None:
    """
    Serve until SIGTERM or SIGINT, then stop in good order.

    Raises:
        ConfigurationError, MappingError, StoreError: it could not start.
    """
    if not config.receivers and config.http is None:
        where = f"{config.file}: " if config.file else "there is no configuration: "
        raise ConfigurationError([("C823", f"{where}nothing to receive from; give --config")])
    with asyncio.Runner(loop_factory=loop_factory(config)) as runner:
        runner.run(_serve(config))


def loop_factory(config: settings.Config) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop: uvloop where it is installed (the extra `fast`), `None` for Python's own."""
    if any(isinstance(receiver, settings.MllpReceiver) and receiver.tls for receiver in config.receivers):
        # The listener begins TLS itself, to see who fails to; uvloop never ends a handshake on an accepted connection.
        return None
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(config: settings.Config) -> None:
    log = logs.make(gather=True)
    logs.adopt_logging(log)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    logs.adopt_asyncio(log, loop)
    app = build(config, log=log)
    # What fails in the loop is an alarm, too.
    logs.adopt_asyncio(app.log, loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(_reload(app))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, reload)
    await app.open()
    steady()
    await stop.wait()
    await app.close()


async def _reload(app: App) -> None:
    # What is wrong with the files is in the log by its code; `mhbridge check` shows all of it.
    changed, _ = await app.reloading.reload("SIGHUP")
    if changed:
        steady()


def steady() -> None:
    """
    Tell the garbage collector that what there is now stays: mappings, definitions, modules.

    Without this it looks through all of that again and again, which is most of what it does. And since what a message
    makes is freed by counting references, it may look for circles seldom.
    """
    # What was kept before is looked at once more: after a reload, mappings that nobody uses any more are among it.
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
