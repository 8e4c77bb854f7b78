"""
Transactions: updates of resources that others may write, and that a lost request may still change after its successor.

Every entry stands on a condition where the server knows conditions: on the last version (`ifMatch`) of what we have
written, or on its not being there yet (`ifNoneExist`). A request that was lost and is executed late then finds the
condition broken, and the older state does not come back. Where the server knows none, nothing is sent again before the
lost request's own time, and a little more, has passed.

    in a known version   PUT with ifMatch of its ETag
    not known            POST with ifNoneExist; what turns out to be there is put in a second round, on its ETag
    no such condition    read first, in which version it is
    no versions          PUT as it stands

This module must never remember what a resource says, only in which version it was left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, Final

import orjson

from mhbridge.adapters.calling import CONFLICTS, MAYBE_DONE
from mhbridge.adapters.fhir_server.abilities import Abilities, Able
from mhbridge.adapters.fhir_server.asking import Answer, Asking, canonical, version_of
from mhbridge.adapters.fhir_server.conflicts import Conflicts
from mhbridge.errors import DestinationSilent, DestinationUnavailable
from mhbridge.fhir.bundle import dumps, loads
from mhbridge.ports import Delivered, DueDelivery

__all__ = ["Transactions"]

#: After a request's own deadline, so long a lost one may still be executed before it is sent again.
_SETTLE: Final = 5.0
#: So many resources' versions are remembered; what is forgotten costs one request more.
_REMEMBERED: Final = 20_000
#: Once on the condition that nothing is there, once on the version of what was.
_ROUNDS: Final = 2


class Transactions:
    """How one server is given transactions."""

    def __init__(self, asking: Asking, abilities: Abilities) -> None:
        self._asking = asking
        self._abilities = abilities
        self._able = Able()
        self._conflicts = Conflicts()
        #: Digest of an entry's address → its last ETag, empty where it had none.
        self._versions: dict[bytes, str] = {}

    async def deliver(self, delivery: DueDelivery, deadline: float) -> Delivered:
        """Send it on the versions that are known. Raises a `DeliveryError`."""
        self._able = await self._abilities.known(deadline)
        if self._stands_alone(delivery.document.body):
            answer = await self._asking.ask("POST", "", delivery.document.body, deadline)
            delivered = await self._taken(delivery, answer, deadline)
            self._conflicts.over(delivery.id)
            return delivered
        # For its requests alone: what it says is sent as it stands, or read to the last digit of its decimals below.
        entries = orjson.loads(delivery.document.body).get("entry") or []
        await self._read_versions(entries, deadline)
        for _ in range(_ROUNDS):
            requests = [self._conditioned(entry) for entry in entries]
            body = delivery.document.body
            if requests != [entry.get("request") for entry in entries]:
                bundle = loads(body)
                whole = zip(bundle["entry"], requests, strict=True)
                body = dumps({**bundle, "entry": [{**entry, "request": request} for entry, request in whole]})
            answer = await self._asking.ask("POST", "", body, deadline)
            delivered = await self._taken(delivery, answer, deadline)
            if answer.status in CONFLICTS:
                return delivered
            if self._note(entries, requests, answer):
                self._conflicts.over(delivery.id)
                return delivered
        # What was there at the second round was not there at the third: somebody makes and removes it.
        raise self._conflicts.again(delivery.id)

    def _stands_alone(self, body: bytes) -> bool:
        """No entry stands on a condition: the server knows no versions, none is remembered, and none is asked for."""
        return not self._able.versions and not self._versions and b'"ifNoneExist"' not in body

    async def _taken(self, delivery: DueDelivery, answer: Answer, deadline: float) -> Delivered:
        """What the answer to a transaction says became of it. Raises a `DeliveryError`."""
        if answer.status in CONFLICTS:
            entries = orjson.loads(delivery.document.body).get("entry") or []
            return await self._conflict(delivery, entries, deadline)
        if answer.status in MAYBE_DONE:
            raise DestinationSilent("D942", "the destination failed while it carried out a transaction")
        return self._asking.judge(answer)

    async def look(self, delivery: DueDelivery, deadline: float) -> Delivered:
        """Send it again: at once where a lost request cannot do harm any more, otherwise when its time has passed."""
        self._able = await self._abilities.known(deadline)
        entries = orjson.loads(delivery.document.body).get("entry") or []
        if delivery.sent_at is not None and not all(self._is_guarded(entry) for entry in entries):
            until = delivery.sent_at + timedelta(seconds=self._asking.caller.timeout + _SETTLE)
            left = (until - self._asking.now()).total_seconds()
            if left > 0:
                raise DestinationSilent("D958", "a lost request may still be carried out", after=left)
        return await self.deliver(delivery, deadline)

    # --- conditions ---

    async def _read_versions(self, entries: Sequence[Mapping[str, Any]], deadline: float) -> None:
        """Read in which version that is of which it is not known, where it cannot be created on a condition."""
        for entry in entries:
            request = entry.get("request")
            if not isinstance(request, dict) or _key(request) in self._versions or self._is_guarded(entry):
                continue
            if request.get("method") != "PUT" or _type(request) not in self._able.versions:
                continue
            try:
                held = await self._held(entry, deadline)
            except DestinationSilent as error:
                raise DestinationUnavailable(error.code, "it cannot be read now what is there") from error
            if held is not None:
                self._remember(_key(request), version_of(held))

    def _conditioned(self, entry: Mapping[str, Any]) -> Any:
        """The request of an entry, on the condition that nobody has written it since."""
        request = entry.get("request")
        if not isinstance(request, dict) or request.get("method") != "PUT" or "ifMatch" in request:
            return request
        type_, query = _type(request), request["url"].partition("?")[2]
        known = self._versions.get(_key(request))
        if known:
            return {**request, "ifMatch": known}
        if known is None and query and type_ in self._able.creates and type_ in self._able.versions:
            return {"method": "POST", "url": type_, "ifNoneExist": query}
        return request

    def _is_guarded(self, entry: Mapping[str, Any]) -> bool:
        request = self._conditioned(entry)
        return isinstance(request, dict) and bool(request.keys() & {"ifMatch", "ifNoneExist"})

    def _note(self, entries: Sequence[Mapping[str, Any]], requests: Sequence[Any], answer: Answer) -> bool:
        """Remember the versions; false when something was there already and was therefore not written."""
        said = (answer.resource or {}).get("entry")
        responses = said if isinstance(said, list) and len(said) == len(entries) else [{}] * len(entries)
        written = True
        for entry, request, one in zip(entries, requests, responses, strict=True):
            response = one.get("response") if isinstance(one, dict) else None
            response = response if isinstance(response, dict) else {}
            if not isinstance(entry.get("request"), dict):
                continue
            type_ = entry["request"]["url"].partition("?")[0].partition("/")[0]
            etag = response.get("etag")
            self._remember(
                _key(entry["request"]), etag if isinstance(etag, str) and type_ in self._able.versions else ""
            )
            if "ifNoneExist" in request:
                written &= str(response.get("status", "")).startswith(str(HTTPStatus.CREATED.value))
        return written

    def _remember(self, key: bytes, etag: str) -> None:
        self._versions.pop(key, None)
        self._versions[key] = etag
        if len(self._versions) > _REMEMBERED:
            del self._versions[next(iter(self._versions))]

    # --- conflicts ---

    async def _conflict(
        self, delivery: DueDelivery, entries: Sequence[Mapping[str, Any]], deadline: float
    ) -> Delivered:
        """Somebody wrote the same: where it is what we say it is taken, otherwise it is done again on what is there."""
        try:
            held = [await self._held(entry, deadline) for entry in entries]
        except DestinationSilent as error:
            # The transaction itself was refused; only the reading got no answer.
            raise DestinationUnavailable(error.code, "a conflict, and what is there cannot be read now") from error
        names = {
            str(entry.get("fullUrl")): f"{one['resourceType']}/{one.get('id')}"
            for entry, one in zip(entries, held, strict=True)
            if one is not None
        }
        same = True
        for entry, one in zip(entries, held, strict=True):
            self._remember(_key(entry["request"]), "" if one is None else version_of(one))
            if one is None:
                self._versions.pop(_key(entry["request"]), None)
            same = same and one is not None and _says(entry, names) == canonical(one, {})
        if same:
            self._conflicts.over(delivery.id)
            return Delivered(2)
        raise self._conflicts.again(delivery.id)

    async def _held(self, entry: Mapping[str, Any], deadline: float) -> Mapping[str, Any] | None:
        """What the server has in the place of an entry."""
        address, _, query = str(entry["request"]["url"]).partition("?")
        if not query:
            answer = await self._asking.ask("GET", f"/{address}", None, deadline)
            return answer.resource if answer.reply.success else None
        answer = await self._asking.search(address, query, deadline)
        found = answer.matches() if answer.reply.success else None
        wanted = [one for one in found or () if one.get("resourceType") == address]
        return wanted[0] if len(wanted) == 1 else None


def _says(entry: Mapping[str, Any], names: Mapping[str, str]) -> Any:
    # As the server's own JSON is read, so that numbers compare.
    return canonical(orjson.loads(dumps(entry.get("resource") or {})), names)


def _type(request: Mapping[str, Any]) -> str:
    return str(request.get("url")).partition("?")[0].partition("/")[0]


def _key(request: Mapping[str, Any]) -> bytes:
    # The address may be made of a patient's identifier, which is kept nowhere.
    return blake2b(str(request.get("url")).encode(), digest_size=16).digest()
