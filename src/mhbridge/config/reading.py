"""
From text and environment to a checked `Config`, or to every problem there is, each with its place and a hint.

Sections are checked one by one, so that a fault in one hides none in another. This module must never show a value.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from mhbridge.config.destinations import (
    BearerAuth,
    FhirDestination,
    FolderDestination,
    JwtAuth,
    MllpDestination,
    WebhookDestination,
)
from mhbridge.config.duties import queue_sections
from mhbridge.config.receivers import (
    Expect,
    FolderReceiver,
    HttpReceiver,
    MeshReceiver,
    MllpReceiver,
)
from mhbridge.config.section import (
    Section,
    Tls,
)
from mhbridge.config.sections import (
    Access,
    Config,
    GatewaySection,
    HttpSection,
    Place,
    Recipients,
    Retention,
    RetentionSection,
    Route,
    named,
)
from mhbridge.config.watch import (
    AlarmSection,
    DutySection,
    HeartbeatSection,
    QueueSection,
    WatchSection,
)
from mhbridge.errors import ConfigurationError

PREFIX: Final = "MHBRIDGE_"
#: Variables with our prefix that are not overrides: where the file itself is.
RESERVED: Final = frozenset({"MHBRIDGE_CONFIG"})
#: Kinds that the configuration may name one day; naming one today gets a better answer than "unknown".
PLANNED: Final = frozenset({"mesh"})

Kinds = Mapping[str, type[Section]]

_ONE: Final[Kinds] = {
    "gateway": GatewaySection,
    "http": HttpSection,
    "watch": WatchSection,
    "retention": RetentionSection,
}
_MANY: Final[Mapping[str, type[Section] | Kinds]] = {
    "receiver": {"mllp": MllpReceiver, "http": HttpReceiver, "folder": FolderReceiver, "mesh": MeshReceiver},
    "destination": {
        "fhir": FhirDestination,
        "folder": FolderDestination,
        "mllp": MllpDestination,
        "webhook": WebhookDestination,
    },
    "route": Route,
    "access": Access,
    "alarm": AlarmSection,
    "queue": QueueSection,
    "duty": DutySection,
}
_AUTH: Final[Kinds] = {"bearer": BearerAuth, "private_key_jwt": JwtAuth}
#: Tables inside sections, for the hint of an unknown key.
_INNER: Final[Kinds] = {
    "tls": Tls,
    "expect": Expect,
    "heartbeat": HeartbeatSection,
    "retention": Retention,
    "recipients": Recipients,
    **_AUTH,
}
#: How what a list holds is written; under nothing, a name.
_SHAPES: Final = {
    "": "a name is small letters, digits and hyphens, and begins with a letter or digit",
    "organisations": "an ODS code is capital letters and digits",
    "items": "an item is small letters, digits and underscores",
}
#: What pydantic calls the shape that it wanted.
_WANTED: Final = {
    "model_type": "a table",
    "tuple_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "date_type": "a date",
    "date_parsing": "a date",
    "date_from_datetime_parsing": "a date",
    "date_from_datetime_inexact": "a date",
}


def load(path: Path | None, environ: Mapping[str, str] | None = None) -> Config:
    """
    Read, override, check. Relative paths are relative to the file's folder, or to the current one without a file.

    Raises:
        ConfigurationError: with every problem of the file and the environment.
    """
    environ = os.environ if environ is None else environ
    if path is None:
        return parse("", file="", environ=environ)
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError([("C801", f"{path}: there is no readable file of this name in UTF-8")]) from None
    return parse(text, file=str(path), base=path.parent, environ=environ)


def parse(text: str, *, file: str = "mhbridge.toml", base: Path | None = None, environ: Mapping[str, str]) -> Config:
    """The configuration that `text` and `environ` make. Raises `ConfigurationError`."""
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"line (\d+), column (\d+)|end of document", str(error))
        where = f"{file}:{place[1]}" if place is not None and place[1] else file
        said = _said_of_syntax(str(error).partition(" (at ")[0])
        raise ConfigurationError([("C802", f"{where}: this is not TOML{said}")]) from None
    reading = _Reading(file, _lines(text), {"base": base or Path(), "environ": environ})
    reading.override(tables, environ)
    return reading.config(tables)


def _said_of_syntax(said: str) -> str:
    """What the parser says, unless it quotes: what it quotes may be a secret. What it expects is its own word."""
    if said.startswith("Cannot declare"):
        return ": a table is declared twice"
    if not said.startswith("Expected") and re.search("['\"]", said):
        return ""
    return f": {said[0].lower()}{said[1:]}" if said else ""


class _Reading:
    """One reading of one configuration: collects problems until the end, then gives all or nothing."""

    def __init__(self, file: str, lines: Mapping[Place, int], context: Mapping[str, Any]) -> None:
        self._file = file
        self._places = {place: f"{file}:{line}" for place, line in lines.items()}
        self._context = dict(context)
        self._problems: list[tuple[str, str]] = []

    def problem(self, code: str, place: Place, message: str) -> None:
        """Remember one problem of the key at `place`."""
        where = named(place, self._places, self._file)
        self._problems.append((code, f"{where}: {message}" if where else message))

    def override(self, tables: dict[str, Any], environ: Mapping[str, str]) -> None:
        """Put `MHBRIDGE_SECTION__KEY` (and `MHBRIDGE_RECEIVER__0__LISTEN`) over what the file says."""
        referred = frozenset(_references(tables))
        for variable in sorted(environ):
            if not variable.startswith(PREFIX) or variable in RESERVED or variable in referred:
                continue
            steps = variable.removeprefix(PREFIX).lower().split("__")
            place: Place = tuple(int(step) if step.isdecimal() else step for step in steps)
            self._places[place] = variable
            if len(place) < 2 or place[0] not in (*_ONE, *_MANY):
                self.problem("C813", place, f"names no key; a key is overridden as {PREFIX}SECTION__KEY")
            elif not _put(tables, place, _literal(environ[variable])):
                self.problem("C813", place, "there is no such place in the configuration")

    def config(self, tables: dict[str, Any]) -> Config:
        """Check every section, then what the sections say of each other."""
        for key in tables.keys() - _ONE.keys() - _MANY.keys():
            self.problem("C803", (key,), "unknown section" + _meant(key, (*_ONE, *_MANY)))
        one = {key: self._section((key,), kind, tables.get(key, {})) for key, kind in _ONE.items() if key in tables}
        many: dict[str, list[Any]] = {}
        for key, kinds in _MANY.items():
            entries = tables.get(key, [])
            if not isinstance(entries, list):
                self.problem("C806", (key,), f"write [[{key}]], with two brackets: there may be several")
                tables[key] = entries = []
            many[key] = [self._section((key, n), kinds, entry) for n, entry in enumerate(entries)]
        self._agree(tables, one.get("http"), many)
        gateway = one["gateway"] if "gateway" in one else self._section(("gateway",), GatewaySection, {})
        if self._problems:
            raise ConfigurationError(self._problems)
        return Config(
            gateway=gateway,
            http=one.get("http"),
            access=tuple(many["access"]),
            watch=one.get("watch") or WatchSection(),
            alarms=tuple(many["alarm"]),
            retention=one.get("retention") or RetentionSection(),
            receivers=tuple(many["receiver"]),
            destinations=tuple(many["destination"]),
            routes=tuple(many["route"]),
            queues=tuple(many["queue"]),
            duties=tuple(many["duty"]),
            file=self._file,
            places=self._places,
        )

    def _section(self, place: Place, kinds: type[Section] | Kinds, table: Any) -> Any:
        """One table as its class, or `None` when it has problems."""
        if isinstance(kinds, Mapping):
            kind = table.get("kind") if isinstance(table, dict) else None
            if not isinstance(kind, str) or kind not in kinds:
                self._kind((*place, "kind"), kind, kinds)
                return None
            kinds = kinds[kind]
        try:
            return kinds.model_validate(table, context=self._context)
        except ValidationError as failure:
            errors = failure.errors(include_input=False, include_url=False)
            for error in errors:
                inside = [
                    other
                    for other in errors
                    if other is not error and other["loc"][: len(error["loc"])] == error["loc"]
                ]
                if error["type"] == "too_short" and inside:
                    # A list whose entries are wrong is not also empty.
                    continue
                ctx = error.get("ctx", {})
                self._shape(place, kinds, error["type"], error["loc"], ctx=ctx, message=error["msg"])
            return None

    def _kind(self, place: Place, kind: object, kinds: Kinds) -> None:
        known = ", ".join(kinds)
        if kind is None:
            self.problem("C804", place, f"this key must be given; known: {known}")
        elif kind in PLANNED:
            self.problem("C814", place, f"this kind is not in this release; known: {known}")
        else:
            self.problem("C805", place, f"unknown kind{_meant(str(kind), tuple(kinds))}")

    def _shape(
        self, place: Place, model: type[Section], kind: str, loc: Place, *, ctx: Mapping[str, Any], message: str
    ) -> None:
        """Say one of pydantic's errors in our words, and never in its own, except where it is one that we raised."""
        if len(loc) > 1 and loc[0] == "auth" and loc[1] in _AUTH:
            # The tag of the union is no key of the file.
            model, place, loc = _AUTH[str(loc[1])], (*place, "auth"), loc[2:]
        here = (*place, *loc)
        if kind.startswith("C8"):
            self.problem(kind, here, message)
        elif kind == "extra_forbidden":
            inner = _INNER.get(str(loc[0]), model) if len(loc) > 1 else model
            self.problem("C803", here, "unknown key" + _meant(str(loc[-1]), tuple(inner.model_fields)))
        elif kind == "missing":
            self.problem("C804", here, "this key must be given")
        elif kind in ("union_tag_invalid", "union_tag_not_found"):
            self._kind((*here, "kind"), None if kind == "union_tag_not_found" else "?", _AUTH)
        elif kind == "literal_error":
            self.problem("C805", here, f"known: {ctx['expected']}")
        elif kind == "string_pattern_mismatch":
            self.problem("C806", here, _SHAPES.get(str(loc[-2] if len(loc) > 1 else ""), _SHAPES[""]))
        elif kind in ("greater_than_equal", "less_than_equal"):
            self.problem(
                "C806", here, f"must be at least {ctx['ge']}" if "ge" in ctx else f"must be at most {ctx['le']}"
            )
        elif kind in ("too_short", "string_too_short"):
            self.problem("C806", here, "must not be empty")
        else:
            self.problem("C806", here, f"must be {_WANTED.get(kind, 'of another kind')}")

    def _agree(self, tables: Mapping[str, Any], http: HttpSection | None, many: Mapping[str, list[Any]]) -> None:
        """What no section can know alone."""
        receivers = [(n, r) for n, r in enumerate(many["receiver"]) if r is not None]
        destinations = [(n, d) for n, d in enumerate(many["destination"]) if d is not None]
        listens = [(n, str(r.listen)) for n, r in receivers if getattr(r, "listen", None) and r.listen.port]
        self._once("receiver", "name", [(n, r.feed) for n, r in receivers], "this supplier has a receiver of this name")
        self._once("receiver", "listen", listens, "another receiver listens here")
        self._once("destination", "name", [(n, d.name) for n, d in destinations], "another destination has this name")
        if http is not None and any(str(http.listen) == listen for _, listen in listens):
            self.problem(
                "C811", ("http", "listen"), "a receiver listens here; one without listen shares that of [http]"
            )
        folders = [(("receiver", n, "path"), r.path) for n, r in receivers if isinstance(r, FolderReceiver)]
        folders += [(("destination", n, "path"), d.path) for n, d in destinations if isinstance(d, FolderDestination)]
        for place, path in folders:
            if [other for _, other in folders].index(path) != folders.index((place, path)):
                self.problem("C811", place, "this folder is used already")
        mailboxes = [(n, r) for n, r in receivers if isinstance(r, MeshReceiver)]
        for at, (n, receiver) in enumerate(mailboxes):
            if not all(receiver.apart(other) for _, other in mailboxes[:at]):
                self.problem("C841", ("receiver", n, "mailbox"), "another receiver takes the same messages from it")
        for n, receiver in receivers:
            if isinstance(receiver, HttpReceiver) and receiver.listen is None:
                if "http" not in tables:
                    self.problem("C804", ("receiver", n, "listen"), "this key must be given, or an [http] section")
                elif http is not None and http.open_to_strangers and receiver.token is None:
                    self.problem("C816", ("receiver", n, "token"), "[http] can be reached from elsewhere: give a token")
        secrets = [(n, a.token.reveal()) for n, a in enumerate(many["access"]) if a is not None]
        self._once("access", "token", secrets, "another [[access]] has the same secret")
        if http is not None and not http.listen.loopback and not tables.get("access"):
            self.problem("C816", ("http", "listen"), "it can be reached from elsewhere: give at least one [[access]]")
        # Names as written, so that a destination with another fault is not also called unknown.
        written = [entry.get("name") for entry in tables.get("destination", []) if isinstance(entry, dict)]
        names = list(dict.fromkeys(name for name in written if isinstance(name, str)))
        for n, route in enumerate(many["route"]):
            for m, name in enumerate(route.to if route is not None else ()):
                if name not in names:
                    self.problem("C812", ("route", n, "to", m), "no destination has this name" + _meant(name, names))

        self._agree_on_tasks(many["queue"], many["duty"])

    def _agree_on_tasks(self, queues: Sequence[QueueSection | None], duties: Sequence[DutySection | None]) -> None:
        """Every task has an owner, and goes on from one to the next until there is none after it."""
        self._once("queue", "name", [(n, q.name) for n, q in enumerate(queues) if q], "another queue has this name")
        said = [(n, cause) for n, duty in enumerate(duties) if duty for cause in dict.fromkeys(duty.causes)]
        self._once("duty", "causes", said, "another duty has one of these causes")
        known = queue_sections([queue for queue in queues if queue])
        names = [queue.name for queue in known]
        for section, key, entries in (("queue", "next", queues), ("duty", "queue", duties)):
            for n, entry in enumerate(entries):
                name = getattr(entry, key, "")
                if name and name not in names:
                    self.problem("C824", (section, n, key), "no queue has this name" + _meant(name, names))
        after = {queue.name: queue.next for queue in known}
        for n, queue in enumerate(queues):
            if queue is not None and _goes_round(queue.name, after):
                self.problem("C825", ("queue", n, "next"), "a task that nobody takes would go round and round")

    def _once(self, section: str, key: str, values: Sequence[tuple[int, str]], message: str) -> None:
        seen: set[str] = set()
        for n, value in values:
            if value in seen:
                self.problem("C811", (section, n, key), message)
            seen.add(value)


def _meant(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(known))}" if known else ""


def _goes_round(name: str, after: Mapping[str, str]) -> bool:
    at = after.get(name, "")
    for _ in after:
        if at == name:
            return True
        at = after.get(at, "")
    return False


def _references(value: Any) -> Iterator[str]:
    """Names of all environment variables that secrets refer to."""
    if isinstance(value, str) and value.startswith("env:"):
        yield value.removeprefix("env:")
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _references(inner)


def _literal(text: str) -> Any:
    """A variable's value: a TOML list, table or quoted string where it looks like one, otherwise its own text."""
    if text[:1] in ("[", "{", '"', "'"):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return text


def _put(tables: dict[str, Any], place: Place, value: Any) -> bool:
    """Set one place, making tables on the way; a list grows by one at most. False when it does not fit."""
    at: Any = tables
    for n, step in enumerate(place):
        last = n == len(place) - 1
        new: Any = value if last else [] if isinstance(place[n + 1], int) else {}
        if isinstance(at, dict) and isinstance(step, str):
            if last or step not in at:
                at[step] = new
        elif isinstance(at, list) and isinstance(step, int) and step <= len(at):
            if step == len(at):
                at.append(new)
            elif last:
                at[step] = new
        else:
            return False
        at = at[step]
    return True


def _lines(text: str) -> dict[Place, int]:
    """The line of each table and key, by their look: a key inside a multi-line string only misplaces a message."""
    found: dict[Place, int] = {}
    count: dict[str, int] = {}
    table: Place = ()
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*\[\[\s*([\w-]+)\s*\]\]", line):
            count[match[1]] = count.get(match[1], -1) + 1
            table = (match[1], count[match[1]])
            found[table] = number
        elif match := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            first, *rest = match[1].split(".")
            table = (first, count[first], *rest) if first in count else (first, *rest)
            found[table] = number
        elif match := re.match(r"\s*([\w.-]+)\s*=", line):
            found[(*table, *match[1].split("."))] = number
    return found
