"""
What a FHIR server holds, in memory: resources in versions, found by id and by business identifier.

Implements R4's create, update, delete, their conditional forms, `transaction` and `batch` as far as they decide what is
held, and is strict where servers differ, so that what passes here passes elsewhere. It counts effects, so that a test
can say "delivered once". This module must never answer HTTP (that is `receiving`) nor judge a resource's content.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final
from urllib.parse import parse_qsl

__all__ = ["Holdings", "Refused", "Version", "Written"]

_TYPE: Final = re.compile(r"[A-Z][A-Za-z]{1,63}")
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_ETAG: Final = re.compile(r'(?:W/)?"([^"]*)"')
# R4 §3.1.1.4.0.1: `\` escapes the characters that have a meaning in a search value.
_TOKEN: Final = re.compile(r"((?:[^\\|]|\\.)*)\|((?:[^\\|]|\\.)*)", re.DOTALL)
_OR: Final = re.compile(r"(?:[^\\,]|\\.)+", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
#: R4 §3.1.0.11.2: a transaction does what it does in this order, whatever the order of its entries.
_ORDER: Final = ("DELETE", "POST", "PUT")

Identifier = tuple[str, str]
"""System and value of a business identifier."""


class Refused(Exception):
    """A request that is not carried out. Args: HTTP status, code of FHIR's issue-type, a sentence without values."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a resource; `resource` is `None` where it was deleted."""

    number: int
    at: datetime
    resource: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Written:
    """
    What became of one write.

    Args:
        created: the resource was not there before.
        changed: there is a new version; a repeat of what is held makes none.
    """

    type: str
    id: str
    version: Version
    created: bool
    changed: bool

    @property
    def status(self) -> int:
        """The HTTP status that says so."""
        return 201 if self.created else 204 if self.version.resource is None else 200

    @property
    def location(self) -> str:
        """Where this version is, relative to the base."""
        return f"{self.type}/{self.id}/_history/{self.version.number}"


@dataclass(slots=True)
class _Plan:
    """One write that is decided, but not done."""

    method: str
    type: str
    id: str
    resource: dict[str, Any] | None
    #: Nothing is written: what was to be created only if it does not exist does.
    keep: bool = False


class Holdings:
    """
    Everything that was written, and how often.

    Args:
        clock: the present instant, aware and in UTC.
    """

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._versions: dict[tuple[str, str], list[Version]] = {}
        self._identified: dict[tuple[str, Identifier], set[str]] = {}
        self._ids = count(1)
        #: How often something changed for a business identifier: 1 is "once", however often it arrived.
        self.effects: Counter[Identifier] = Counter()
        #: The business identifiers for which something changed, in the order in which it did.
        self.order: list[Identifier] = []
        #: How often a write with this business identifier was carried out, with or without a change.
        self.arrivals: Counter[Identifier] = Counter()

    # -- asking -------------------------------------------------------------------------------------------

    def read(self, type_: str, id_: str, number: str = "") -> Version:
        """
        The newest version of a resource, or the one with this number.

        Raises:
            Refused: it is unknown (404) or deleted (410).
        """
        versions = self._versions.get((type_, id_))
        if not versions:
            raise Refused(404, "not-found", "no such resource")
        if number:
            found = [v for v in versions if str(v.number) == number]
            if not found:
                raise Refused(404, "not-found", "no such version")
            version = found[0]
        else:
            version = versions[-1]
        if version.resource is None:
            raise Refused(410, "deleted", "the resource was deleted")
        return version

    def all(self, type_: str) -> list[dict[str, Any]]:
        """The newest version of every resource of a type, the longest held first."""
        return [v[-1].resource for (t, _), v in self._versions.items() if t == type_ and v[-1].resource is not None]

    def search(self, type_: str, parameters: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
        """
        What matches every parameter: `identifier` (`system|value`, `value`, `|value`; any of several) or `_id`.

        Raises:
            Refused: another parameter (400). Leaving it out, as lenient servers do, would find what was not meant.
        """
        ids: set[str] | None = None
        for name, value in parameters:
            if name in ("_format", "_count", "_summary", "_total"):
                continue
            wanted = _OR.findall(value)
            if name == "_id":
                found = {_ESCAPED.sub(r"\1", one) for one in wanted}
            elif name in ("identifier", "identifier:exact"):
                found = set().union(*(self._with(type_, one) for one in wanted)) if wanted else set()
            else:
                raise Refused(400, "not-supported", "a search parameter that is not known here")
            ids = found if ids is None else ids & found
        if ids is not None and len(ids) < 2:
            # As most searches are: who asks for one thing must not wait for all that is held.
            newest = [versions[-1].resource for id_ in ids if (versions := self._versions.get((type_, id_)))]
            return [resource for resource in newest if resource is not None]
        held = self.all(type_)
        return held if ids is None else [resource for resource in held if resource["id"] in ids]

    def history(self, type_: str, id_: str) -> Sequence[Version]:
        """Every version of a resource, the first first; empty when it was never held."""
        return tuple(self._versions.get((type_, id_), ()))

    def _with(self, type_: str, token: str) -> set[str]:
        match = _TOKEN.fullmatch(token)
        if match is not None:
            system, value = (_ESCAPED.sub(r"\1", part) for part in match.groups())
            return self._identified.get((type_, (system, value)), set())
        value = _ESCAPED.sub(r"\1", token)
        return {i for (t, (_, v)), ids in self._identified.items() if t == type_ and v == value for i in ids}

    def _matching(self, type_: str, query: str) -> list[str]:
        parameters = parse_qsl(query, keep_blank_values=True)
        if not parameters:
            raise Refused(400, "invalid", "a condition without a parameter")
        return [resource["id"] for resource in self.search(type_, parameters)]

    # -- writing ------------------------------------------------------------------------------------------

    def write(self, request: Mapping[str, Any], resource: dict[str, Any] | None) -> Written:
        """
        Carry out one request on its own.

        Args:
            request: as `Bundle.entry.request`: `method`, `url`, `ifMatch`, `ifNoneExist`.
            resource: what is written; `None` for a `DELETE`.

        Raises:
            Refused: and nothing has changed.
        """
        plan = self._plan({"request": request, "resource": resource})
        if plan.resource is not None:
            plan.resource = self._resolved(plan.resource, {})
        return self._carry_out(plan)

    def transaction(self, bundle: Mapping[str, Any]) -> dict[str, Any]:
        """
        Carry out all entries or none, references among them rewritten to what they become.

        Raises:
            Refused: and nothing has changed.
        """
        entries = _entries(bundle)
        plans = [self._plan(entry) for entry in entries]
        targets = [(plan.type, plan.id) for plan in plans if plan.id]
        if len(set(targets)) < len(targets):
            raise Refused(400, "invalid", "two entries of a transaction are about the same resource")
        names: dict[str, str] = {}
        for entry, plan in zip(entries, plans, strict=True):
            if isinstance(entry.get("fullUrl"), str):
                names[entry["fullUrl"]] = f"{plan.type}/{plan.id}"
        for plan in plans:
            if plan.resource is not None:
                plan.resource = self._resolved(plan.resource, names)
        done: dict[int, Written] = {}
        for method in _ORDER:
            done |= {n: self._carry_out(plan) for n, plan in enumerate(plans) if plan.method == method}
        responses = [{"response": _response(done[n])} for n in range(len(plans))]
        return {"resourceType": "Bundle", "type": "transaction-response", "entry": responses}

    def batch(self, bundle: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out each entry by itself; those that are refused say so in their place."""
        responses: list[dict[str, Any]] = []
        for entry in _entries(bundle):
            try:
                written = self.write(entry.get("request") or {}, entry.get("resource"))
                responses.append({"response": _response(written)})
            except Refused as refused:
                issue = {"severity": "error", "code": refused.code, "diagnostics": refused.text}
                outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
                responses.append({"response": {"status": str(refused.status), "outcome": outcome}})
        return {"resourceType": "Bundle", "type": "batch-response", "entry": responses}

    def _plan(self, entry: Mapping[str, Any]) -> _Plan:
        """What one request is going to do, without doing it."""
        request = entry.get("request")
        method, url = (_string(request, "method"), _string(request, "url")) if isinstance(request, dict) else ("", "")
        if not isinstance(request, dict) or method not in _ORDER or not url:
            raise Refused(400, "invalid", "an entry needs a request with a method (PUT, POST or DELETE) and a url")
        path, _, query = url.partition("?")
        type_, _, id_ = path.strip("/").partition("/")
        if not _TYPE.fullmatch(type_) or (id_ and not _ID.fullmatch(id_)):
            raise Refused(404, "not-found", "no such type of resource, or no possible id")
        if method == "DELETE":
            found = [id_] if id_ else self._one(type_, query)
            self._unchanged_since(request, type_, found[0] if found else "")
            return _Plan(method, type_, found[0] if found else "", None, keep=not found)
        resource = entry.get("resource")
        if not isinstance(resource, dict) or resource.get("resourceType") != type_:
            raise Refused(400, "invalid", "the resource is missing, or is not of the type that the address says")
        if method == "POST":
            return self._create(request, type_, resource, id_)
        if id_:
            if resource.get("id") != id_:
                raise Refused(400, "invalid", "the resource's id is not that of the address")
        else:
            found = self._one(type_, query)
            own = resource.get("id")
            if found and own not in (None, found[0]):
                raise Refused(400, "invalid", "the resource's id is not that of the one that the condition finds")
            id_ = found[0] if found else own if isinstance(own, str) and _ID.fullmatch(own) else self._next()
        self._unchanged_since(request, type_, id_)
        return _Plan(method, type_, id_, resource)

    def _create(self, request: Mapping[str, Any], type_: str, resource: dict[str, Any], id_: str) -> _Plan:
        if id_:
            raise Refused(405, "not-supported", "a resource is created at its type's address")
        condition = _string(request, "ifNoneExist")
        if condition:
            found = self._one(type_, condition.rpartition("?")[2])
            if found:
                return _Plan("POST", type_, found[0], None, keep=True)
        return _Plan("POST", type_, self._next(), resource)

    def _next(self) -> str:
        return f"received-{next(self._ids)}"

    def _one(self, type_: str, query: str) -> list[str]:
        found = self._matching(type_, query)
        if len(found) > 1:
            raise Refused(412, "multiple-matches", "the condition finds several resources")
        return found

    def _unchanged_since(self, request: Mapping[str, Any], type_: str, id_: str) -> None:
        condition = _string(request, "ifMatch")
        if not condition:
            return
        match = _ETAG.fullmatch(condition.strip())
        versions = self._versions.get((type_, id_))
        if match is None or not versions or match[1] != str(versions[-1].number):
            raise Refused(412, "conflict", "the resource has changed meanwhile")

    def _resolved(self, resource: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
        """A copy with its references rewritten; one that leads nowhere is refused, as a server must."""

        def walk(value: Any) -> Any:
            if isinstance(value, list):
                return [walk(one) for one in value]
            if not isinstance(value, dict):
                return value
            copy = {key: walk(one) for key, one in value.items()}
            reference = copy.get("reference")
            if isinstance(reference, str):
                copy["reference"] = self._target(reference, names)
            return copy

        # A document is held as it is: its references are to its own entries.
        return dict(resource) if resource["resourceType"] == "Bundle" else walk(resource)

    def _target(self, reference: str, names: Mapping[str, str]) -> str:
        if reference in names:
            return names[reference]
        if reference.startswith(("urn:uuid:", "urn:oid:")):
            raise Refused(400, "not-found", "a reference to what is not in the transaction")
        type_, question, query = reference.partition("?")
        if not question or not _TYPE.fullmatch(type_):
            return reference
        found = self._matching(type_, query)
        if len(found) != 1:
            raise Refused(412, "not-found", "a conditional reference that finds none or several")
        return f"{type_}/{found[0]}"

    def _carry_out(self, plan: _Plan) -> Written:
        versions = self._versions.get((plan.type, plan.id), [])
        last = versions[-1] if versions else None
        if plan.keep or (plan.resource is None and (last is None or last.resource is None)):
            return Written(plan.type, plan.id, last or Version(0, self._clock(), None), created=False, changed=False)
        found = set(_identifiers(plan.resource or (last.resource if last else None) or {}))
        self.arrivals.update(found)
        if last is not None and plan.resource is not None and _content(last.resource) == _content(plan.resource):
            return Written(plan.type, plan.id, last, created=False, changed=False)
        version = Version(len(versions) + 1, self._clock(), None)
        if plan.resource is not None:
            at = version.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            held = plan.resource.get("meta")
            meta = {**(held if isinstance(held, dict) else {}), "versionId": str(version.number), "lastUpdated": at}
            resource = {"resourceType": plan.type, "id": plan.id, "meta": meta}
            version = Version(version.number, version.at, {**resource, **plan.resource, "id": plan.id, "meta": meta})
        self.effects.update(found)
        self.order += sorted(found)
        self._reidentify(plan, last.resource if last else None)
        self._versions[(plan.type, plan.id)] = [*versions, version]
        created = plan.resource is not None and (last is None or last.resource is None)
        return Written(plan.type, plan.id, version, created=created, changed=True)

    def _reidentify(self, plan: _Plan, before: dict[str, Any] | None) -> None:
        for identifier in _identifiers(before or {}, own=True):
            self._identified.get((plan.type, identifier), set()).discard(plan.id)
        for identifier in _identifiers(plan.resource or {}, own=True):
            self._identified.setdefault((plan.type, identifier), set()).add(plan.id)


def _string(mapping: Any, key: str) -> str:
    value = mapping.get(key) if isinstance(mapping, dict) else None
    return value if isinstance(value, str) else ""


def _entries(bundle: Mapping[str, Any]) -> list[dict[str, Any]]:
    entries = bundle.get("entry", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Refused(400, "invalid", "the entries of the Bundle are not a list of objects")
    return entries


def _identifiers(resource: Mapping[str, Any], *, own: bool = False) -> Iterator[Identifier]:
    """The business identifiers of a resource; those of a document are also its Composition's, unless `own`."""
    found = resource.get("identifier")
    for one in found if isinstance(found, list) else [found]:
        if isinstance(one, dict) and (value := _string(one, "value")):
            yield _string(one, "system"), value
    if own or resource.get("resourceType") != "Bundle" or not isinstance(resource.get("entry"), list):
        return
    for entry in resource["entry"][:1]:
        inner = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(inner, dict) and inner.get("resourceType") == "Composition":
            yield from _identifiers(inner)


def _content(resource: Mapping[str, Any] | None) -> Any:
    """What makes two versions differ: all but the id and what the server writes into `meta`."""
    if resource is None:
        return None
    held = resource.get("meta")
    meta = {k: v for k, v in held.items() if k not in ("versionId", "lastUpdated")} if isinstance(held, dict) else held
    rest = {key: value for key, value in resource.items() if key not in ("meta", "id")}
    return _canonical({**rest, "meta": meta} if meta else rest)


def _canonical(value: Any) -> Any:
    """For comparing: the order of keys means nothing, but 1.1 and 1.10, or true and 1, are different to FHIR."""
    if isinstance(value, dict):
        return tuple(sorted((key, _canonical(inner)) for key, inner in value.items()))
    if isinstance(value, list):
        return tuple(map(_canonical, value))
    return type(value).__name__, str(value)


def _response(written: Written) -> dict[str, Any]:
    words = {200: "200 OK", 201: "201 Created", 204: "204 No Content"}
    found: dict[str, Any] = {"status": words[written.status]}
    if written.version.resource is not None:
        found |= {
            "location": written.location,
            "etag": f'W/"{written.version.number}"',
            "lastModified": written.version.resource["meta"]["lastUpdated"],
        }
    return found
