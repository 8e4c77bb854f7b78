"""
What sections must agree on: names that are used once, and what one section says of another.

A section in which something is wrong takes part with what is right in it. This module must never judge a section alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from mhbridge.config.destinations import FolderDestination, MeshDestination
from mhbridge.config.duties import queue_sections
from mhbridge.config.judging import each, judged
from mhbridge.config.receivers import FolderReceiver, HttpReceiver, MeshReceiver
from mhbridge.config.sections import HttpSection, Place
from mhbridge.config.values import Listen
from mhbridge.config.watch import DutySection, QueueSection

__all__ = ["Agreement", "meant"]


class Agreement:
    """
    Whether sections agree.

    Args:
        tables: what was written.
        wrong: the sections in which something is wrong.
        problem: told of what is found: code, place, what is wrong.
    """

    def __init__(
        self, tables: Mapping[str, Any], wrong: Collection[Place], problem: Callable[[str, Place, str], None]
    ) -> None:
        self._tables = tables
        self._wrong = wrong
        self._problem = problem

    def check(self, http: HttpSection | None, many: Mapping[str, Sequence[Any]]) -> None:
        """All of it."""
        tables = self._tables
        receivers, destinations = many["receiver"], many["destination"]
        listens = each(receivers, lambda r: str(r.listen) if _fixed(getattr(r, "listen", None)) else "")
        listens = [(n, listen) for n, listen in listens if listen]
        feeds = each(receivers, lambda r: str(r.feed))
        self._once("receiver", "name", feeds, "this supplier has a receiver of this name")
        self._once("receiver", "listen", listens, "another receiver listens here")
        names = each(destinations, lambda d: str(d.name))
        self._once("destination", "name", names, "another destination has this name")
        if http is not None and judged(lambda: any(str(http.listen) == listen for _, listen in listens)):
            self._problem(
                "C811", ("http", "listen"), "a receiver listens here; one without listen shares that of [http]"
            )
        own = each(receivers, lambda r: str(r.path) if isinstance(r, FolderReceiver) else "")
        out = each(destinations, lambda d: str(d.path) if isinstance(d, FolderDestination) else "")
        used: set[str] = set()
        for section, paths in (("receiver", own), ("destination", out)):
            for n, path in paths:
                if path and path in used:
                    self._problem("C811", (section, n, "path"), "this folder is used already")
                used.add(path)
        for n, receiver in enumerate(receivers):
            before = receivers[:n] if isinstance(receiver, MeshReceiver) else ()
            others = [other for other in before if isinstance(other, MeshReceiver)]
            if isinstance(receiver, MeshReceiver) and any(not apart for _, apart in each(others, receiver.apart)):
                self._problem("C841", ("receiver", n, "mailbox"), "another receiver takes the same messages from it")
        polled = each(receivers, _polled)
        if len(polled) == len(receivers):
            for n, address in each(destinations, _reported_to):
                if address and address not in (one for _, one in polled):
                    self._problem(
                        "C843", ("destination", n, "mailbox"), "nobody would read there what was not delivered"
                    )
        strange = http is not None and judged(lambda: http.open_to_strangers)
        for n, token in each(receivers, _shares_http):
            if token is not None and "http" not in tables:
                self._problem("C804", ("receiver", n, "listen"), "this key must be given, or an [http] section")
            elif token is False and strange:
                self._problem("C816", ("receiver", n, "token"), "[http] can be reached from elsewhere: give a token")
        secrets = each(many["access"], lambda a: str(a.token.reveal()))
        self._once("access", "token", secrets, "another [[access]] has the same secret")
        if http is not None and not tables.get("access") and judged(lambda: not http.listen.loopback):
            self._problem("C816", ("http", "listen"), "it can be reached from elsewhere: give at least one [[access]]")
        # Names as written, so that a destination with another fault is not also called unknown.
        named = _names_written(tables, "destination")
        for n, to in each(many["route"], lambda r: list(r.to)):
            for m, name in enumerate(to):
                if name not in named:
                    self._problem("C812", ("route", n, "to", m), "no destination has this name" + meant(name, named))
        self._on_tasks(many["queue"], many["duty"])

    def _on_tasks(self, queues: Sequence[QueueSection | None], duties: Sequence[DutySection | None]) -> None:
        """Every task has an owner, and goes on from one to the next until there is none after it."""
        self._once("queue", "name", each(queues, lambda q: str(q.name)), "another queue has this name")
        causes = [(n, cause) for n, said in each(duties, lambda d: dict.fromkeys(d.causes)) for cause in said]
        self._once("duty", "causes", causes, "another duty has one of these causes")
        known = queue_sections([queue for n, queue in enumerate(queues) if queue and ("queue", n) not in self._wrong])
        names = list(dict.fromkeys([*(queue.name for queue in known), *_names_written(self._tables, "queue")]))
        for section, key, entries in (("queue", "next", queues), ("duty", "queue", duties)):
            for n, name in each(entries, _text_at(key)):
                if name and name not in names:
                    self._problem("C824", (section, n, key), "no queue has this name" + meant(name, names))
        after = {queue.name: queue.next for queue in known}
        for n, queue in enumerate(queues):
            if queue is not None and ("queue", n) not in self._wrong and _goes_round(queue.name, after):
                self._problem("C825", ("queue", n, "next"), "a task that nobody takes would go round and round")

    def _once(self, section: str, key: str, values: Sequence[tuple[int, str]], message: str) -> None:
        seen: set[str] = set()
        for n, value in values:
            if value in seen:
                self._problem("C811", (section, n, key), message)
            seen.add(value)


def _fixed(listen: Listen | None) -> bool:
    """Whether an address is always the same: of port 0 the system chooses one."""
    return listen is not None and listen.port != 0


def _shares_http(receiver: object) -> bool | None:
    """Whether one that has no listener of its own asks for a token; `None`: it has one, or needs none."""
    if not isinstance(receiver, HttpReceiver) or receiver.listen is not None:
        return None
    return receiver.token is not None


def _polled(receiver: object) -> str:
    """The mailbox that a receiver polls; empty: none."""
    return f"{receiver.url}/{receiver.mailbox}" if isinstance(receiver, MeshReceiver) else ""


def _reported_to(destination: object) -> str:
    """The mailbox in which alone it is said that something was not delivered; empty: it is asked for, or told."""
    if not isinstance(destination, MeshDestination) or destination.acknowledged_by == "collected":
        return ""
    return f"{destination.url}/{destination.mailbox}"


def _names_written(tables: Mapping[str, Any], section: str) -> list[str]:
    written = [entry.get("name") for entry in tables.get(section, []) if isinstance(entry, dict)]
    return list(dict.fromkeys(name for name in written if isinstance(name, str)))


def _goes_round(name: str, after: Mapping[str, str]) -> bool:
    at = after.get(name, "")
    for _ in after:
        if at == name:
            return True
        at = after.get(at, "")
    return False


def meant(word: str, known: Sequence[str]) -> str:
    """The hint for a word that is not known: one that is like it, or all."""
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(known))}" if known else ""


def _text_at(key: str) -> Callable[[Any], str]:
    return lambda entry: str(getattr(entry, key, ""))
