"""
The mappings in force, and how others take their place while messages are taken.

An envelope is read and stepped with the same mappings, those in force when it came: what replaces them is made whole
beside them first, in every worker too, and then used for the next envelope. What is broken changes nothing. All
processes compile one snapshot of the files: a worker that starts an hour later has what the others have, whatever was
edited meanwhile. This module must never take new files by itself: somebody asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from mhbridge import config as settings
from mhbridge import pipeline
from mhbridge.app.feeds import feeds_from, feeds_of, without_secrets
from mhbridge.errors import ConfigurationError, MappingError, MhbridgeError
from mhbridge.gateway import Gateway, Workers
from mhbridge.log import Event, Log

if TYPE_CHECKING:
    from mhbridge.mapping.catalogue import Catalogue, SupplierMapping
    from mhbridge.mapping.library import Snapshot

__all__ = ["Mappings", "Reloading"]


class Mappings:
    """
    What is in force now.

    Raises:
        ConfigurationError: the configuration names a supplier or document type that does not exist.
        MappingError: a mapping that it needs has errors.
    """

    def __init__(self, config: settings.Config) -> None:
        self._config = config
        self.snapshot: Snapshot
        self.catalogue: Catalogue
        self.feeds: Mapping[str, pipeline.Feed]
        self.adopt(*self.load())

    def load(self) -> tuple[Snapshot, Catalogue, Mapping[str, pipeline.Feed]]:
        """What the files say now. Changes nothing. Raises as the class."""
        from mhbridge.mapping.catalogue import Catalogue
        from mhbridge.mapping.library import Library, Snapshot, default_roots

        snapshot = Snapshot.of(default_roots(self._config.gateway.mappings))
        catalogue = Catalogue(Library(snapshot))
        return snapshot, catalogue, feeds_from(self._config, catalogue)

    def adopt(self, snapshot: Snapshot, catalogue: Catalogue, feeds: Mapping[str, pipeline.Feed]) -> None:
        """These are in force from now on."""
        self.snapshot, self.catalogue, self.feeds = snapshot, catalogue, feeds

    def mapping(self, name: str) -> SupplierMapping:
        """
        A mapping as it is in force when somebody asks, whether messages are taken with it or not.

        Raises:
            KeyError: there is no such mapping.
            MappingError: it has errors.
        """
        return self.catalogue.mapping(name)

    def maker(self, snapshot: Snapshot) -> Callable[[], Mapping[str, pipeline.Feed]]:
        """What makes the same feeds in a worker."""
        return partial(feeds_of, without_secrets(self._config), snapshot)

    def shown(self) -> list[dict[str, str]]:
        """Each mapping with its document type, format and hash."""
        return shown(self.feeds)


def shown(feeds: Mapping[str, pipeline.Feed]) -> list[dict[str, str]]:
    """Each mapping of these feeds with its document type, format and hash."""
    mappings = {mapping.name: mapping for feed in feeds.values() for mapping in feed.mappings}
    return [
        {"mapping": m.name, "document": m.document.name, "format": m.format.name, "hash": m.hash}
        for _, m in sorted(mappings.items())
    ]


class Reloading:
    """
    Lets what the files say now take the place of what is in force.
    """

    def __init__(self, *, mappings: Mappings, gateway: Gateway, workers: Workers | None, log: Log) -> None:
        self._mappings = mappings
        self._gateway = gateway
        self._workers = workers
        self._log = log
        self._turn = asyncio.Lock()

    async def reload(self, who: str) -> tuple[Sequence[str], Sequence[str]]:
        """
        The names of the mappings that changed, came or went; and what was wrong, in which case nothing has changed.

        Args:
            who: asked for it, for the log.
        """
        async with self._turn:
            try:
                snapshot, catalogue, feeds = await asyncio.to_thread(self._mappings.load)
                if self._workers is not None:
                    await self._workers.adopt(self._mappings.maker(snapshot))
            except MappingError as error:
                return (), self._failed(who, error.diagnostics[0].code, [found.render() for found in error.diagnostics])
            except ConfigurationError as error:
                return (), self._failed(who, error.problems[0][0], [f"{code}: {text}" for code, text in error.problems])
            except MhbridgeError as error:
                return (), self._failed(who, error.code, [f"{error.code}: {error.message}"])
            before, after = self._mappings.shown(), shown(feeds)
            changed = sorted({one["mapping"] for one in [*before, *after] if one not in before or one not in after})
            self._mappings.adopt(snapshot, catalogue, feeds)
            self._gateway.adopt(feeds)
            self._log.info(Event.RELOADED, who=who, count=len(changed), reference=snapshot.digest)
            return changed, ()

    def _failed(self, who: str, code: str, problems: Sequence[str]) -> Sequence[str]:
        self._log.error(Event.RELOAD_FAILED, who=who, code=code, count=len(problems))
        return problems
