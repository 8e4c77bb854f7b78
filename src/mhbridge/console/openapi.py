"""
What the HTTP API is, as OpenAPI, written by hand: one line a route. A test holds it against the routes that there are.
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

__all__ = ["description", "routes"]

_BYTES: Final = "application/octet-stream"
_FHIR: Final = "application/fhir+json"
_JSON: Final = "application/json"

#: Method, path, summary, role, type of the request's body, status and type of a good answer.
_ROUTES: Final = (
    ("post", "/feeds/{supplier}/{feed}/messages", "Take a message: 202 when it is durable.", "", _BYTES, "202", _FHIR),
    ("post", "/translate/{supplier}/{feed}", "Translate and keep nothing.", "viewer", _BYTES, "200", _FHIR),
    ("get", "/messages", "Messages, the newest first.", "viewer", "", "200", _JSON),
    ("post", "/messages/_search", "Messages by control id, patient or visit.", "viewer", _JSON, "200", _JSON),
    ("get", "/messages/{id}", "One message.", "viewer", "", "200", _JSON),
    ("get", "/messages/{id}/trace", "Everything that happened to a message.", "viewer", "", "200", _JSON),
    ("get", "/messages/{id}/original", "Its bytes as they were received.", "clinical", "", "200", _BYTES),
    ("get", "/messages/{id}/documents", "The documents made of it.", "clinical", "", "200", _JSON),
    ("post", "/messages/{id}/resend", "Deliver its documents again.", "operator", "", "200", _JSON),
    ("post", "/messages/{id}/close", "End what is parked of it, with a reason.", "operator", _JSON, "200", _JSON),
    ("post", "/deliveries/{id}/release", "Let a parked delivery go.", "operator", "", "200", _JSON),
    ("get", "/parked", "Messages that need a person.", "viewer", "", "200", _JSON),
    ("get", "/status", "The accounts.", "viewer", "", "200", _JSON),
    ("get", "/mappings", "The mappings in use.", "viewer", "", "200", _JSON),
    ("get", "/metrics", "Metrics for Prometheus.", "viewer", "", "200", "text/plain"),
    ("get", "/health/live", "The process answers.", "", "", "200", _JSON),
    ("get", "/health/ready", "Messages can be taken.", "", "", "200", _JSON),
    ("get", "/openapi.json", "This description.", "", "", "200", _JSON),
)

_QUERY: Final = {
    "/messages": ("state", "feed", "before", "most"),
    "/parked": ("feed", "before", "most"),
    "/translate/{supplier}/{feed}": ("target",),
}


def description(name: str) -> dict[str, Any]:
    """The API of the gateway called `name`, as OpenAPI 3.1."""
    paths: dict[str, Any] = {}
    for method, path, summary, role, takes, status, gives in _ROUTES:
        parameters = [
            {"name": part.strip("{}"), "in": "path", "required": True, "schema": {"type": "string"}}
            for part in path.split("/")
            if part.startswith("{")
        ]
        parameters += [{"name": key, "in": "query", "schema": {"type": "string"}} for key in _QUERY.get(path, ())]
        operation: dict[str, Any] = {
            "summary": summary,
            "responses": {
                status: {"description": "As asked.", "content": {gives: {}}},
                "default": {"description": "An OperationOutcome that says why not.", "content": {_FHIR: {}}},
            },
        }
        if parameters:
            operation["parameters"] = parameters
        if takes:
            operation["requestBody"] = {"required": True, "content": {takes: {}}}
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


def routes(name: str) -> tuple[web.RouteDef, ...]:
    """`GET /openapi.json`."""
    said = description(name)

    async def show(_request: web.Request) -> web.Response:
        return web.json_response(said)

    return (web.get("/openapi.json", show),)
