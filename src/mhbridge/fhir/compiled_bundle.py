"""
What a Bundle asks as a whole, as the fast answer (`compiled`) needs it: clean, or not known to be.

The rules are those of `bundle_rules`, which gives every issue with its place. This module must never pass what that one
has an issue for; Bundles of rare kinds are left to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Link", "Met", "are_entries_clean", "is_address_clean", "is_bundle_clean"]

#: Address, types that it may point to (none: any), whether its type has been checked by name.
Link = tuple[str, frozenset[str], bool]

_RELATIVE: Final = re.compile(r"([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}").fullmatch
_SEARCH: Final = re.compile(r"([A-Z][A-Za-z]+)\?\S+").fullmatch
_URN: Final = re.compile(r"urn:(?:uuid|oid):[!-~]+").fullmatch
_WEB: Final = re.compile(r"https?://[!-~]+").fullmatch
_CHANGES: Final = frozenset({"transaction", "batch"})
_KINDS: Final = frozenset({"document", "message", "collection"}) | _CHANGES
#: A Bundle in a Bundle, and resources in parameters.
_LEFT: Final = frozenset({"Bundle", "Parameters"})
_PARTS: Final = frozenset({"fullUrl", "resource", "request"})


class Met:
    """What was met in one resource: links, and the entries of a Bundle with the number of links before each."""

    __slots__ = ("depth", "entries", "links", "types")

    def __init__(self, types: frozenset[str]) -> None:
        self.types = types
        self.depth = 0
        self.links: list[Link] = []
        self.entries: list[tuple[dict[str, Any], int]] | None = None


def are_entries_clean(entries: Any, met: Met, is_entry: Callable[[dict[str, Any], Met], bool]) -> bool:
    """Whether each entry is clean by itself."""
    if met.entries is not None or type(entries) is not list or not entries:
        return False
    met.entries = []
    for entry in entries:
        met.entries.append((entry, len(met.links)))
        if type(entry) is not dict or not is_entry(entry, met):
            return False
    return True


def is_address_clean(link: Link, met: Met) -> bool:
    """Whether a reference outside of a Bundle has a right form and, as far as that tells, a right type."""
    reference, targets, _ = link
    if (match := _RELATIVE(reference)) is not None:
        return match[1] in met.types and (not targets or match[1] in targets)
    return _URN(reference) is not None or _WEB(reference) is not None


def is_bundle_clean(bundle: dict[str, Any], met: Met) -> bool:
    """Whether the entries of a Bundle, each clean by itself, are right together."""
    kind = bundle["type"]
    entries = met.entries or []
    if kind not in _KINDS or "total" in bundle or not _is_head_clean(bundle, kind, entries):
        return False
    by_url: dict[str, tuple[str, int]] = {}
    by_id: dict[str, tuple[str, int]] = {}
    needs_url = kind in ("document", "message")
    for place, (entry, _) in enumerate(entries):
        if not entry.keys() <= _PARTS or ("request" in entry) is not (kind in _CHANGES):
            return False
        resource = entry["resource"]  # without one: KeyError, and the walk decides
        of, identity, url = resource["resourceType"], resource.get("id"), entry.get("fullUrl")
        if of in _LEFT or url in by_url or (of == "CareTeam" and _acts_for_others(resource)):
            return False
        named = f"{of}/{identity}"
        if url is None:
            if needs_url:
                return False
        elif _URN(url) is None:
            # A web address: the walk knows how references resolve against it.
            return False
        else:
            by_url[url] = of, place
        if identity is not None:
            if named in by_id:
                return False
            by_id[named] = of, place
    return _are_links_clean(kind, met, entries, by_url, by_id)


def _acts_for_others(team: dict[str, Any]) -> bool:
    """Whether a participant acts on behalf of an organisation: what that asks of references (ctm-1), the walk knows."""
    return any("onBehalfOf" in participant for participant in team.get("participant", ()))


def _is_head_clean(bundle: dict[str, Any], kind: str, entries: list[tuple[dict[str, Any], int]]) -> bool:
    if kind == "document":
        identifier = bundle["identifier"]
        return bool(
            identifier["system"]
            and identifier["value"]
            and bundle["timestamp"]
            and entries[0][0]["resource"]["resourceType"] == "Composition"
        )
    return kind != "message" or entries[0][0]["resource"]["resourceType"] == "MessageHeader"


def _are_links_clean(
    kind: str,
    met: Met,
    entries: list[tuple[dict[str, Any], int]],
    by_url: dict[str, tuple[str, int]],
    by_id: dict[str, tuple[str, int]],
) -> bool:
    is_document = kind == "document"
    ends = [start for _, start in entries[1:]] + [len(met.links)]
    reached: list[list[int]] = [[] for _ in entries]
    place = 0
    for number, link in enumerate(met.links):
        while number >= ends[place]:
            place += 1
        reference, targets, typed = link
        target = by_url.get(reference) or by_id.get(reference)
        if target is not None:
            of, to = target
            if targets and not typed and of not in targets:
                return False
            reached[place].append(to)
        elif (match := _SEARCH(reference)) is not None:
            if kind != "transaction" or match[1] not in met.types or (targets and match[1] not in targets):
                return False
        elif is_document or _URN(reference) is not None or not is_address_clean(link, met):
            return False
    return not is_document or _is_all_reached(entries, reached)


def _is_all_reached(entries: list[tuple[dict[str, Any], int]], reached: list[list[int]]) -> bool:
    """Whether references lead from the Composition to every entry; a Provenance belongs to what it is about."""
    seen = {0}
    rest = [0]
    while rest:
        for place in reached[rest.pop()]:
            if place not in seen:
                seen.add(place)
                rest.append(place)
    # What only a Provenance leads to is left to the walk.
    return all(
        place in seen or (entry["resource"]["resourceType"] == "Provenance" and not seen.isdisjoint(reached[place]))
        for place, (entry, _) in enumerate(entries)
    )
