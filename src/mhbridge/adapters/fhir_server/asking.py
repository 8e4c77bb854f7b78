"""
Requests to a FHIR server and what its answers say in FHIR's own words.

This module must never keep anything of an answer but for the sender that asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import orjson

from mhbridge.adapters.calling import Caller, Reply, refusal
from mhbridge.errors import DestinationSilent
from mhbridge.ports import Clock, Delivered

__all__ = ["MEDIA_TYPE", "Answer", "Asking", "canonical"]

MEDIA_TYPE: Final = "application/fhir+json"
_FORM: Final = "application/x-www-form-urlencoded"
#: Servers write these themselves, or leave them out, without having changed what was said.
_SERVERS_OWN: Final = frozenset({"id", "meta", "text"})


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A reply that was read as FHIR.

    Args:
        understood: it is a resource, or nothing, which is as good when a minimal answer was asked for.
    """

    reply: Reply
    resource: Mapping[str, Any] | None = field(repr=False)
    understood: bool

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.reply.status

    @property
    def etag(self) -> str:
        """The version of what was answered; empty where the server has none."""
        return self.reply.headers.get("ETag", "") or version_of(self.resource or {})

    @property
    def remote_id(self) -> str:
        """
        What the server calls it: type, id and version of its Location, which is its own and holds nothing of ours.
        """
        headers = self.reply.headers
        location = headers.get("Location", "") or headers.get("Content-Location", "")
        parts = location.partition("?")[0].rstrip("/").split("/")
        tail = "/".join(parts[-4:] if "_history" in parts[-2:-1] else parts[-2:])
        return tail if len(tail) <= 200 and tail.isascii() and tail.isprintable() else ""

    @property
    def issue_types(self) -> frozenset[str]:
        """The codes of an OperationOutcome's issues."""
        issues = self.resource.get("issue") if self.resource is not None else None
        return frozenset(str(issue.get("code")) for issue in issues or () if isinstance(issue, dict))

    def matches(self) -> list[dict[str, Any]] | None:
        """What a search found; `None` when this is no answer to a search."""
        if self.resource is None or self.resource.get("resourceType") != "Bundle":
            return None
        entries = self.resource.get("entry") or []
        return [e["resource"] for e in entries if isinstance(e, dict) and isinstance(e.get("resource"), dict)]


class Asking:
    """One FHIR server, and how it is asked."""

    def __init__(self, caller: Caller, clock: Clock) -> None:
        self.caller = caller
        self.clock = clock

    async def ask(
        self, method: str, path: str, body: bytes | None, deadline: float, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request with a resource, or without."""
        headers = {"Prefer": "return=minimal", **(headers or {})}
        return _read(await self.caller.ask(method, path, body, MEDIA_TYPE, deadline, headers))

    async def search(self, type_: str, query: str, deadline: float) -> Answer:
        """
        A search by POST: identifiers belong in no URL, which proxies write into their logs.

        Args:
            query: parameters, encoded as in a URL.
        """
        return _read(await self.caller.ask("POST", f"/{type_}/_search", query.encode(), _FORM, deadline))

    def judge(self, answer: Answer) -> Delivered:
        """
        What an answer means for a delivery.

        Raises:
            DeliveryError: it was not taken, or nobody can tell.
        """
        if not answer.reply.success:
            raise refusal(answer.reply, self.clock())
        if not answer.understood:
            # A proxy's page with status 200 is not a FHIR server's acceptance.
            raise DestinationSilent("D943", "the answer is too long, or is no FHIR")
        return Delivered(2, answer.remote_id)

    def now(self) -> datetime:
        """The present instant."""
        return self.clock()


def _read(reply: Reply) -> Answer:
    resource: Any = None
    # Nothing is as good as a resource: we have asked for a minimal answer.
    understood = reply.content == b""
    if reply.content:
        try:
            resource = orjson.loads(reply.content)
            understood = isinstance(resource, dict) and isinstance(resource.get("resourceType"), str)
        except orjson.JSONDecodeError:
            pass
    return Answer(reply, resource if understood else None, understood)


def takes_no_put(answer: Answer) -> bool:
    """The server has no update by id here, rather than something against this document."""
    return answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED) or (
        answer.status == HTTPStatus.BAD_REQUEST and "not-supported" in answer.issue_types
    )


def takes_no_search(answer: Answer) -> bool:
    """The server cannot be searched by identifier."""
    return takes_no_put(answer) or answer.status == HTTPStatus.BAD_REQUEST


def version_of(resource: Mapping[str, Any]) -> str:
    """The version that a resource says it is, as an ETag (R4, RESTful API, "Managing Resource Contention")."""
    meta = resource.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    return f'W/"{version}"' if isinstance(version, str) and version else ""


def canonical(resource: Mapping[str, Any], names: Mapping[str, str]) -> Any:
    """
    What a resource says, for comparing what was sent with what is held.

    Args:
        names: `fullUrl` → what the server made of it in references.
    """

    def walk(value: Any) -> Any:
        if isinstance(value, Mapping):
            return tuple(sorted((key, _reference(key, inner, names) or walk(inner)) for key, inner in value.items()))
        if isinstance(value, list):
            return tuple(map(walk, value))
        # A decimal keeps its digits in FHIR, but a server's JSON may have lost them; true is not 1.
        return ("n", float(value)) if not isinstance(value, str | bool | None) else (type(value).__name__, value)

    return walk({key: value for key, value in resource.items() if key not in _SERVERS_OWN})


def _reference(key: str, value: Any, names: Mapping[str, str]) -> Any:
    if key != "reference" or not isinstance(value, str):
        return None
    return "reference", names.get(value, value).partition("/_history/")[0]


def own_identifiers(resource: Mapping[str, Any]) -> Iterator[str]:
    """The values of a resource's business identifiers."""
    found = resource.get("identifier")
    for one in found if isinstance(found, list) else [found]:
        if isinstance(one, dict) and isinstance(one.get("value"), str):
            yield one["value"]
