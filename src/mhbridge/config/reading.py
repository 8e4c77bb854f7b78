"""
From text and environment to a checked `Config`, or to every problem there is, each with its place and a hint.

Sections are checked one by one, so that a fault in one hides none in another. This module must never show a value.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from mhbridge.config.agreeing import Agreement, meant
from mhbridge.config.destinations import (
    BearerAuth,
    FhirDestination,
    FolderDestination,
    JwtAuth,
    MeshDestination,
    MllpDestination,
    WebhookDestination,
)
from mhbridge.config.judging import partly
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

Kinds = Mapping[str, type[Section]]
Problems = Sequence[tuple[str, str]]

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
        "mesh": MeshDestination,
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


def load(
    path: Path | None,
    environ: Mapping[str, str] | None = None,
    further: Callable[[Config], Problems] | None = None,
) -> Config:
    """
    Read, override, check. Relative paths are relative to the file's folder, or to the current one without a file.

    Args:
        further: when something is wrong, what else is, with those sections that are right.

    Raises:
        ConfigurationError: with every problem of the file and the environment.
    """
    environ = os.environ if environ is None else environ
    if path is None:
        return parse("", file="", environ=environ, further=further)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError([("C801", f"{path}: there is no readable file of this name in UTF-8")]) from None
    return parse(text, file=str(path), base=path.parent, environ=environ, further=further)


def parse(
    text: str,
    *,
    file: str = "mhbridge.toml",
    base: Path | None = None,
    environ: Mapping[str, str],
    further: Callable[[Config], Problems] | None = None,
) -> Config:
    """The configuration that `text` and `environ` make. Raises `ConfigurationError`."""
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"line (\d+), column (\d+)|end of document", str(error))
        where = f"{file}:{place[1]}" if place is not None and place[1] else file
        said = _said_of_syntax(str(error).partition(" (at ")[0])
        line = text.split("\n")[int(place[1]) - 1] if place is not None and place[1] else ""
        raise ConfigurationError([("C802", f"{where}: this is not TOML{said}{_seen_in(line)}")]) from None
    reading = _Reading(file, _lines(text), {"base": base or Path(), "environ": environ})
    reading.override(tables, environ)
    return reading.config(tables, further)


def _said_of_syntax(said: str) -> str:
    """What the parser says, unless it quotes: what it quotes may be a secret. What it expects is its own word."""
    if said.startswith("Cannot declare"):
        return ": a table is declared twice"
    if not said.startswith("Expected") and re.search("['\"]", said):
        return ""
    return f": {said[0].lower()}{said[1:]}" if said else ""


def _seen_in(line: str) -> str:
    """What a line has in it that TOML does not know, by its look; nothing of the line is shown."""
    if re.search("[\\u2018-\\u201f]", line):
        return "; text stands in straight quotes"
    if unseen := re.search("[\\u00a0\\u2007\\u202f\\u200b]", line):
        return f"; there is a U+{ord(unseen[0]):04X}, which only looks like a blank, or like nothing"
    if re.search(r"=\s*(?:True|False|TRUE|FALSE|yes|no|Yes|No|on|off)\b", line):
        return "; write true or false"
    if re.search(r'"[^"]*\\[^"]*"', line):
        return "; in double quotes a backslash begins an escape: write a path with /, or in single quotes"
    return ""


class _Reading:
    """One reading of one configuration: collects problems until the end, then gives all or nothing."""

    def __init__(self, file: str, lines: Mapping[Place, int], context: Mapping[str, Any]) -> None:
        self._file = file
        self._places = {place: f"{file}:{line}" for place, line in lines.items()}
        self._context = dict(context)
        self._problems: list[tuple[str, str]] = []
        #: Sections in which something is wrong.
        self._wrong: set[Place] = set()

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

    def config(self, tables: dict[str, Any], further: Callable[[Config], Problems] | None = None) -> Config:
        """Check every section, then what the sections say of each other."""
        for key in tables.keys() - _ONE.keys() - _MANY.keys():
            self.problem("C803", (key,), "unknown section" + meant(key, (*_ONE, *_MANY)))
        one = {key: self._section((key,), kind, tables.get(key, {})) for key, kind in _ONE.items() if key in tables}
        many: dict[str, list[Any]] = {}
        for key, kinds in _MANY.items():
            entries = tables.get(key, [])
            if not isinstance(entries, list):
                self.problem("C806", (key,), f"write [[{key}]], with two brackets: there may be several")
                tables[key] = entries = []
            many[key] = [self._section((key, n), kinds, entry) for n, entry in enumerate(entries)]
        Agreement(tables, self._wrong, self.problem).check(one.get("http"), many)
        if "gateway" not in one:
            one["gateway"] = self._section(("gateway",), GatewaySection, {})
        if self._problems:
            if further is not None and ("gateway",) not in self._wrong:
                known = {text for _, text in self._problems}
                queues = any(place[0] == "queue" for place in self._wrong)
                # Whether a queue is there cannot be said while it is not known which there are.
                self._problems += [
                    (code, text) for code, text in further(self._made(one, many)) if text not in known
                    and not (queues and code == "C829")
                ]  # fmt: skip
            raise ConfigurationError(self._problems)
        return self._made(one, many)

    def _made(self, one: Mapping[str, Any], many: Mapping[str, Sequence[Any]]) -> Config:
        """A configuration of those sections that are right, which are numbered anew."""
        right = {key: found for key, found in one.items() if (key,) not in self._wrong}
        numbers = {key: [n for n in range(len(found)) if (key, n) not in self._wrong] for key, found in many.items()}
        lists = {key: tuple(many[key][n] for n in numbers[key]) for key in many}
        places: dict[Place, str] = {}
        for place, at in self._places.items():
            section, number = str(place[0]), place[1] if len(place) > 1 else None
            if section not in numbers or not isinstance(number, int):
                places[place] = at
            elif number in numbers[section]:
                places[section, numbers[section].index(number), *place[2:]] = at
        return Config(
            gateway=right["gateway"],
            http=right.get("http"),
            access=lists["access"],
            watch=right.get("watch") or WatchSection(),
            alarms=lists["alarm"],
            retention=right.get("retention") or RetentionSection(),
            receivers=lists["receiver"],
            destinations=lists["destination"],
            routes=lists["route"],
            queues=lists["queue"],
            duties=lists["duty"],
            file=self._file,
            places=places,
        )

    def _section(self, place: Place, kinds: type[Section] | Kinds, table: Any) -> Any:
        """One table as its class; with what is wrong left open, or `None`, when it has problems."""
        if isinstance(kinds, Mapping):
            kind = table.get("kind") if isinstance(table, dict) else None
            if not isinstance(kind, str) or kind not in kinds:
                self._kind((*place, "kind"), kind, kinds)
                self._wrong.add(place)
                return None
            kinds = kinds[kind]
        try:
            return kinds.model_validate(table, context=self._context)
        except ValidationError as failure:
            self._wrong.add(place)
            self._shapes(place, kinds, failure)
            wrong = {str(error["loc"][0]) for error in failure.errors(include_url=False) if error["loc"]}
            if not wrong or not isinstance(table, dict):
                return None
            found, more = partly(kinds, table, wrong, self._context)
            if more is not None:
                self._shapes(place, kinds, more)
            return found

    def _shapes(self, place: Place, kinds: type[Section], failure: ValidationError) -> None:
        """Say all of pydantic's errors."""
        errors = failure.errors(include_input=False, include_url=False)
        for error in errors:
            inside = [
                other for other in errors if other is not error and other["loc"][: len(error["loc"])] == error["loc"]
            ]
            if error["type"] == "too_short" and inside:
                # A list whose entries are wrong is not also empty.
                continue
            ctx = error.get("ctx", {})
            self._shape(place, kinds, error["type"], error["loc"], ctx=ctx, message=error["msg"])

    def _kind(self, place: Place, kind: object, kinds: Kinds) -> None:
        known = ", ".join(kinds)
        if kind is None:
            self.problem("C804", place, f"this key must be given; known: {known}")
        else:
            self.problem("C805", place, f"unknown kind{meant(str(kind), tuple(kinds))}")

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
            self.problem("C803", here, "unknown key" + meant(str(loc[-1]), tuple(inner.model_fields)))
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
