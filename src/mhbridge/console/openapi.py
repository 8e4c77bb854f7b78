"""
What the HTTP API is, as OpenAPI, written by hand: one line a route. A test holds it against the routes that there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from mhbridge.console.access import REASON
from mhbridge.console.asking import FILTERS
from mhbridge.model import MessageState
from mhbridge.ports import Sought

__all__ = ["description", "routes"]

_BYTES: Final = "application/octet-stream"
_FHIR: Final = "application/fhir+json"
_JSON: Final = "application/json"

#: Method, path, summary, role, type of the request's body, statuses and type of a good answer, statuses of others.
_ROUTES: Final = (
    ("post", "/feeds/{supplier}/{feed}/messages", "Take a message: 202 when it is durable, 200 for one that was here.",
     "", _BYTES, "202 200", _FHIR, "400 401 404 408 413 415 422 503"),
    ("post", "/fhir/$process-message", "Take a message of FHIR, and answer with one.",
     "", _FHIR, "200", _FHIR, "400 401 404 408 413 415 422 503"),
    ("post", "/translate/{supplier}/{feed}", "Translate and keep nothing.",
     "viewer", _BYTES, "200", _FHIR, "400 404 408 413 415 422"),
    ("get", "/messages", "Messages, the newest first.", "viewer", "", "200", _JSON, "400 503"),
    ("post", "/messages/search", "Messages by an identifier, or by surname and date of birth.",
     "viewer", _JSON, "200", _JSON,
     "400 413 503"),
    ("get", "/messages/{id}", "One message.", "viewer", "", "200", _JSON, "404 503"),
    ("get", "/messages/{id}/trace", "Everything that happened to a message.", "viewer", "", "200", _JSON, "404 503"),
    ("get", "/messages/{id}/original", "Its bytes as they were received.", "clinical", "", "200", _BYTES,
     "400 404 410 503"),
    ("get", "/messages/{id}/documents", "The documents made of it.", "clinical", "", "200", _JSON,
     "400 404 410 503"),
    ("post", "/messages/{id}/resend", "Deliver its documents again, to one destination (`to`) or to all.", "operator",
     _JSON, "200", _JSON, "400 404 409 413 503"),
    ("post", "/messages/{id}/reprocess",
     "Work it again as the mapping is now; with dry-run, only say what would differ, and with values (clinical) how.",
     "operator", "", "200", _JSON,
     "400 404 409 410 503"),
    ("post", "/messages/{id}/close", "End what is parked of it, with a reason.", "operator", _JSON, "200", _JSON,
     "400 404 409 413 503"),
    ("post", "/deliveries/{id}/release", "Let a parked delivery go.", "operator", "", "200", _JSON, "409 503"),
    ("get", "/parked", "Messages that need a person: parked, or with a parked delivery.", "viewer", "", "200", _JSON,
     "400 503"),
    ("get", "/parked/causes", "What needs a person, by why it does, in words.", "viewer", "", "200", _JSON, "503"),
    ("post", "/parked/reprocess", "Work again what is parked for one cause, so many messages a second.", "operator",
     _JSON, "200", _JSON, "400 413 503"),
    ("get", "/tasks", "What people have to do, the most urgent first.", "viewer", "", "200", _JSON, "400 503"),
    ("post", "/tasks/{id}/take", "Say that you do it.", "operator", "", "200", _JSON, "409 503"),
    ("post", "/tasks/{id}/done", "Say that it is done, and how it ended.", "operator", _JSON, "200", _JSON,
     "400 409 413 503"),
    ("get", "/destinations", "Destinations, and which are down or held.", "viewer", "", "200", _JSON,
     ""),
    ("post", "/destinations/{name}/release", "Have a destination sent to again at once.", "operator", "", "200", _JSON,
     "404 409 503"),
    ("post", "/destinations/{name}/acknowledgements",
     "What a destination says of a message that it was sent: a response message, with the destination's own token.",
     "", _FHIR, "200", _JSON, "400 401 404 413 503"),
    ("get", "/status", "The accounts.", "viewer", "", "200", _JSON, "503"),
    ("get", "/mappings", "The mappings in use.", "viewer", "", "200", _JSON, ""),
    ("post", "/mappings/reload", "Use the mapping files as they are now.", "operator", "", "200", _JSON, "422 503"),
    ("get", "/metrics", "Metrics for Prometheus.", "viewer", "", "200", "text/plain", "503"),
    ("get", "/health/live", "The process answers.", "", "", "200", _JSON, ""),
    ("get", "/health/ready", "Messages can be taken.", "", "", "200", _JSON, "503"),
    ("get", "/openapi.json", "This description.", "", "", "200", _JSON, ""),
)  # fmt: skip

#: What a status means that is not as asked. Any route may also answer 403, to a page of another site.
_REFUSALS: Final = {
    "400": "What was sent cannot be read or is not what is taken here.",
    "401": "A token that is known is needed.",
    "403": "The role is missing, or a page of another site asked.",
    "404": "There is nothing of this name or id.",
    "408": "The body did not arrive in time.",
    "410": "It was kept for as long as it was to be, and has been purged.",
    "409": "In the state that it is in, this cannot be done.",
    "413": "The body is too large.",
    "415": "The type or encoding of the body is not taken here.",
    "422": "It was read, and cannot be worked as it is.",
    "503": "The store cannot be asked now. Ask again later.",
}

_NUMBER: Final[Mapping[str, Any]] = {"type": "integer", "minimum": 0}
_TEXT: Final[Mapping[str, Any]] = {"type": "string", "minLength": 1}
_STATE: Final[Mapping[str, Any]] = {"type": "string", "enum": [state.value for state in MessageState]}
_KIND: Final[Mapping[str, Any]] = {"type": "string", "enum": [kind.value for kind in Sought]}
_TIME: Final[Mapping[str, Any]] = {"type": "string", "description": "2026-03-03, 2026-03-03T09:30 or, for ago, 2h."}
#: What a JSON body holds: its keys, of which the first must be there.
_BODIES: Final[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
    "/messages/search": {
        "search": _TEXT, "kind": _KIND, "state": _STATE, "feed": {"type": "string"}, "since": _TIME, "until": _TIME,
        "before": _NUMBER, "most": _NUMBER,
    },
    "/messages/{id}/close": {"why": _TEXT},
    "/parked/reprocess": {"cause": _TEXT, "feed": {"type": "string"}, "rate": {"type": "number"}},
    "/tasks/{id}/done": {"as": _TEXT},
}  # fmt: skip

_QUERY: Final = {
    "/messages": FILTERS,
    "/parked": FILTERS[1:],
    "/messages/{id}/reprocess": ("dry-run", "values"),
    "/tasks": ("queue", "ended", "before", "most"),
    "/translate/{supplier}/{feed}": ("target",),
}


def description(name: str) -> dict[str, Any]:
    """The API of the gateway called `name`, as OpenAPI 3.1."""
    paths: dict[str, Any] = {}
    for method, path, summary, role, takes, good, gives, others in _ROUTES:
        parameters = [
            {"name": part.strip("{}"), "in": "path", "required": True, "schema": {"type": "string"}}
            for part in path.split("/")
            if part.startswith("{")
        ]
        parameters += [{"name": key, "in": "query", "schema": {"type": "string"}} for key in _QUERY.get(path, ())]
        if role == "clinical":
            said = {"schema": _TEXT, "description": "Why it is read. It stays in the log, so it names no patient."}
            parameters.append({"name": REASON, "in": "header", "required": True, **said})
        operation: dict[str, Any] = {
            "summary": summary,
            "responses": {
                **{status: {"description": "As asked.", "content": {gives: {}}} for status in good.split()},
                **{
                    status: {"description": _REFUSALS[status], "content": {_FHIR: {}}}
                    for status in sorted({*others.split(), "403", *(("401",) if role else ())})
                },
                "default": {"description": "An OperationOutcome that says why not.", "content": {_FHIR: {}}},
            },
        }
        if parameters:
            operation["parameters"] = parameters
        if takes:
            operation["requestBody"] = {"required": True, "content": {takes: _schema(path)}}
        if role:
            operation["description"] = f"Needs the role {role}."
            operation["security"] = [{"token": []}]
        paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": f"mhbridge: {name}", "version": "1"},
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _schema(path: str) -> dict[str, Any]:
    """What the body of a request holds, where it is ours to say."""
    keys = _BODIES.get(path)
    if keys is None:
        return {}
    first = next(iter(keys))
    return {"schema": {"type": "object", "properties": dict(keys), "required": [first]}}


def routes(name: str) -> tuple[web.RouteDef, ...]:
    """`GET /openapi.json`."""
    said = description(name)

    async def show(_request: web.Request) -> web.Response:
        return web.json_response(said)

    return (web.get("/openapi.json", show),)
