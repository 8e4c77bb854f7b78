"""
What FHIR asks of a Bundle as a whole: what each kind of Bundle must have, and that what points into it arrives.

The rules `bdl-1` to `bdl-12` of R4's Bundle, what R4 says of the content of documents, and how references resolve
inside a Bundle (R4, Bundle, "Resolving references in Bundles"). This module looks at what the walk (`structure`) met
and must never quote it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from mhbridge.fhir.structure import Link, Visit, Walk, issue
from mhbridge.model import Issue

__all__ = ["bundle_issues"]

_REQUESTED: Final = frozenset({"batch", "transaction", "history"})
_ANSWERED: Final = frozenset({"batch-response", "transaction-response", "history"})
_SEARCHED: Final = frozenset({"searchset"})
_FIRST: Final = {"document": ("Composition", "bdl-11"), "message": ("MessageHeader", "bdl-12")}
#: Bundles that are excerpts: what they point to may well be outside.
_EXCERPTS: Final = frozenset({"searchset", "history", "batch-response", "transaction-response"})
_WEB: Final = re.compile(r"https?://\S+")
_ABSOLUTE: Final = re.compile(r"(?:https?://|urn:uuid:|urn:oid:)\S+")
_TYPE_AND_ID: Final = re.compile(r"(?:^|/)([A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64})(?:/_history/[^/]+)?$")


@dataclass(slots=True)
class _Entry:
    """One entry of a Bundle, as far as it has the right form."""

    place: int
    path: str
    node: dict[str, Any]
    url: str
    visit: Visit | None = None
    links: list[Link] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return self.visit.kind if self.visit else ""

    @property
    def version(self) -> str:
        """`meta.versionId` of the resource, which a reference to a version must name."""
        meta = self.visit.resource.get("meta") if self.visit else None
        version = meta.get("versionId", "") if isinstance(meta, dict) else ""
        return version if isinstance(version, str) else ""

    @property
    def type_and_id(self) -> str:
        """`Type/id` under which others may point here: from the address on the web, else from the resource."""
        if _WEB.fullmatch(self.url):
            match = _TYPE_AND_ID.search(self.url)
            return match[1] if match else ""
        identity = self.visit.resource.get("id") if self.visit else None
        return f"{self.kind}/{identity}" if isinstance(identity, str) else ""


def bundle_issues(walk: Walk) -> Iterator[Issue]:
    """What is wrong with the Bundles that a walk met, and with references to contained resources anywhere."""
    yield from _fragments(walk)
    for number, visit in enumerate(walk.visits):
        if visit.kind == "Bundle":
            yield from _Bundle(walk, number, visit).issues()


def _fragments(walk: Walk) -> Iterator[Issue]:
    """References of the form `#id`: a resource contained in the same outermost one; `#` alone is the outermost one."""
    contained: dict[int, list[Any]] = {}
    for visit in walk.visits:
        if visit.container >= 0:
            contained.setdefault(visit.container, []).append(visit.resource.get("id"))
    for number, visit in enumerate(walk.visits):
        root = number if visit.container < 0 else visit.container
        for link in visit.links:
            name = link.reference[1:]
            is_root = not name and visit.container >= 0
            if link.reference[0] == "#" and not is_root and name not in contained.get(root, ()):
                yield issue("V116", f"{link.path}.reference", "no resource of this id is contained here (ref-1)")
    for number in contained:
        yield from _unnamed(walk, number)


def _unnamed(walk: Walk, root: int) -> Iterator[Issue]:
    """Contained resources that nothing names, and that do not name what contains them (dom-3)."""
    # As the definitions have it, an address anywhere counts, whether it stands in a Reference, a canonical or a uri.
    named = set(_local(walk.visits[root].resource))
    for visit in walk.visits:
        name = visit.resource.get("id")
        if visit.container != root or not isinstance(name, str) or f"#{name}" in named:
            continue
        if "#" not in _local(visit.resource):
            text = "nothing refers to this contained resource, nor does it refer to what contains it (dom-3)"
            yield issue("V127", visit.path, text)


def _local(node: Any) -> Iterator[str]:
    """Every text of a node that begins with a number sign."""
    if isinstance(node, dict | list):
        for inner in node.values() if isinstance(node, dict) else node:
            yield from _local(inner)
    elif isinstance(node, str) and node[:1] == "#":
        yield node


class _Bundle:
    """One Bundle: its entries, and the rules over them."""

    def __init__(self, walk: Walk, number: int, visit: Visit) -> None:
        self.path = visit.path
        self.node = visit.resource
        kind = self.node.get("type")
        self.type = kind if isinstance(kind, str) else ""
        self.entries = list(self._entries(walk, number))
        self.by_url: dict[str, _Entry] = {}
        self.by_id: dict[str, _Entry] = {}
        for entry in self.entries:
            if entry.url:
                self.by_url.setdefault(entry.url, entry)
            if entry.type_and_id:
                self.by_id.setdefault(entry.type_and_id, entry)

    def _entries(self, walk: Walk, number: int) -> Iterator[_Entry]:
        nodes = self.node.get("entry")
        found = {v.entry: (n, v) for n, v in enumerate(walk.visits) if v.holder == number}
        for place, node in enumerate(nodes if isinstance(nodes, list) else ()):
            if not isinstance(node, dict):
                continue  # the walk has said so
            url = node.get("fullUrl")
            entry = _Entry(place, f"{self.path}.entry[{place}]", node, url if isinstance(url, str) else "")
            if place in found:
                at, entry.visit = found[place]
                # What a contained resource points to, its container points to.
                inner = (v.links for v in walk.visits if v.container == at)
                entry.links = [*entry.visit.links, *(link for links in inner for link in links)]
            yield entry

    def issues(self) -> Iterator[Issue]:
        yield from self._head()
        for entry in self.entries:
            yield from self._entry(entry)
        yield from self._same()
        for entry in self.entries:
            if entry.kind == "CareTeam":
                yield from self._on_behalf(entry)
        reached: dict[int, list[_Entry]] = {}
        for entry in self.entries:
            for link in entry.links:
                if link.reference[0] != "#":
                    target = self._resolve(entry, link.reference)
                    yield from self._link(entry, link, target)
                    if target is not None:
                        reached.setdefault(entry.place, []).append(target)
        if self.type == "document":
            yield from self._unreached(reached)

    # --- the Bundle ---

    def _head(self) -> Iterator[Issue]:
        if self.type == "document":
            identifier = self.node.get("identifier")
            if not isinstance(identifier, dict) or not (identifier.get("system") and identifier.get("value")):
                text = "a document needs an identifier with system and value (bdl-9)"
                yield issue("V130", f"{self.path}.identifier", text)
            if not self.node.get("timestamp"):
                yield issue("V131", f"{self.path}.timestamp", "a document needs a timestamp (bdl-10)")
        if self.type in _FIRST:
            kind, rule = _FIRST[self.type]
            if not self.entries or self.entries[0].place != 0 or self.entries[0].kind != kind:
                yield issue("V132", f"{self.path}.entry[0]", f"the first entry must be a {kind} ({rule})")
        if "total" in self.node and self.type not in ("searchset", "history"):
            yield issue("V141", f"{self.path}.total", "only a searchset or a history has a total (bdl-1)")

    def _entry(self, entry: _Entry) -> Iterator[Issue]:
        for name, types, rule in (("request", _REQUESTED, "bdl-3"), ("response", _ANSWERED, "bdl-4")):
            code = "V139" if name == "request" else "V140"
            if self.type in types and name not in entry.node:
                yield issue(code, f"{entry.path}.{name}", f"every entry of a {self.type} needs a {name} ({rule})")
            elif name in entry.node and self.type not in types:
                yield issue(code, f"{entry.path}.{name}", f"no entry of such a Bundle has a {name} ({rule})")
        if "search" in entry.node and self.type not in _SEARCHED:
            yield issue("V141", f"{entry.path}.search", "only an entry of a searchset has a search (bdl-2)")
        if not any(name in entry.node for name in ("resource", "request", "response")):
            yield issue("V142", entry.path, "an entry needs a resource, a request or a response (bdl-5)")
        if entry.visit and not entry.url and self.type in _FIRST:
            yield issue("V133", f"{entry.path}.fullUrl", f"every resource of a {self.type} needs a fullUrl")
        if entry.url:
            yield from self._url(entry)

    def _url(self, entry: _Entry) -> Iterator[Issue]:
        path = f"{entry.path}.fullUrl"
        if "/_history/" in entry.url:
            yield issue("V135", path, "a fullUrl must not name a version (bdl-8)")
        elif not _ABSOLUTE.fullmatch(entry.url):
            yield issue("V135", path, "a fullUrl must be absolute: http(s)://…/Type/id, urn:uuid:… or urn:oid:…")
        elif entry.visit and _WEB.fullmatch(entry.url):
            identity = entry.visit.resource.get("id")
            if isinstance(identity, str) and not entry.url.endswith(f"/{entry.kind}/{identity}"):
                yield issue("V135", path, "the fullUrl and the type and id of the resource disagree")

    def _same(self) -> Iterator[Issue]:
        """Two entries of one fullUrl (bdl-7), or of one type and id, unless they are versions of one resource."""
        if self.type == "history":
            return

        def twice(name: Callable[[_Entry], str]) -> Iterator[_Entry]:
            seen: set[tuple[str, str]] = set()
            for entry in self.entries:
                key = name(entry)
                if not key:
                    continue
                if (key, entry.version) in seen:
                    yield entry
                seen.add((key, entry.version))

        for entry in twice(lambda e: e.url):
            yield issue("V134", f"{entry.path}.fullUrl", "another entry has the same fullUrl (bdl-7)")
        # On the web, the same id may stand on two servers; the fullUrl tells them apart.
        for entry in twice(lambda e: "" if _WEB.fullmatch(e.url) else e.type_and_id):
            yield issue("V138", f"{entry.path}.resource.id", "another entry has a resource of the same type and id")

    # --- references ---

    def _resolve(self, entry: _Entry, reference: str) -> _Entry | None:
        bare, _, version = reference.partition("/_history/")
        found = self._unversioned(entry, bare)
        if found is not None and version and found.version != version:
            return None
        return found

    def _unversioned(self, entry: _Entry, bare: str) -> _Entry | None:
        if _ABSOLUTE.fullmatch(bare):
            return self.by_url.get(bare)
        own = entry.type_and_id
        if _WEB.fullmatch(entry.url) and own and entry.url.endswith(own):
            found = self.by_url.get(entry.url[: -len(own)] + bare)
            if found is not None:
                return found
        return self.by_id.get(bare)

    def _link(self, entry: _Entry, link: Link, target: _Entry | None) -> Iterator[Issue]:
        if link.conditional:
            if self.type != "transaction":
                text = "a search may stand for a reference in a transaction only"
                yield issue("V114", f"{link.path}.reference", text)
        elif target is not None:
            if link.targets and target.kind and not link.typed and target.kind not in link.targets:
                allowed = ", ".join(link.targets)
                text = f"the reference points to a type that is not allowed here (allowed: {allowed})"
                yield issue("V113", link.path, text)
        elif self._must_resolve(entry, link.reference):
            yield issue("V136", f"{link.path}.reference", "nothing in this Bundle is what the reference points to")

    def _on_behalf(self, entry: _Entry) -> Iterator[Issue]:
        """Participants of a CareTeam who act for an organisation: practitioners only (ctm-1)."""
        assert entry.visit is not None
        for link in entry.visit.links:
            holder, _, name = link.path.rpartition(".")
            target = self._resolve(entry, link.reference)
            if name != "member" or target is None or target.kind in ("", "Practitioner"):
                continue
            place = int(holder.rpartition("[")[2].removesuffix("]"))
            if "onBehalfOf" in entry.visit.resource["participant"][place]:
                text = "only a Practitioner acts on behalf of an organisation here (ctm-1)"
                yield issue("V127", holder, text)

    def _must_resolve(self, entry: _Entry, reference: str) -> bool:
        if reference.startswith("urn:"):
            return self.type not in _EXCERPTS
        if self.type != "document":
            return False  # the receiving server has it
        # R4, Documents: what a Composition points to directly must be in the document, wherever its address is.
        return not _WEB.fullmatch(reference) or entry.kind == "Composition"

    def _unreached(self, reached: dict[int, list[_Entry]]) -> Iterator[Issue]:
        """Entries that no path from the Composition leads to; a Provenance belongs to what it is about."""
        about: dict[int, list[int]] = {}
        for entry in self.entries:
            if entry.kind == "Provenance":
                for target in reached.get(entry.place, ()):
                    about.setdefault(target.place, []).append(entry.place)
        seen: set[int] = set()
        rest = [entry.place for entry in self.entries[:1]]
        while rest:
            place = rest.pop()
            if place not in seen:
                seen.add(place)
                rest += [entry.place for entry in reached.get(place, ())]
                rest += about.get(place, ())
        for entry in self.entries:
            if entry.place not in seen and entry.visit:
                text = "no reference leads here from the Composition: a reader may never see it"
                yield issue("V137", entry.path, text)
