"""How lineage is shown: of a mapping as a table, JSON or CSV; of one message with what it says, to whoever asked."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from mhbridge.cli.options import say, show_json
from mhbridge.errors import MessageError

if TYPE_CHECKING:
    from mhbridge.cli.given import Given
    from mhbridge.mapping.supplier import SupplierMapping
    from mhbridge.mapping.tracing import Traced
    from mhbridge.pipeline import Earlier

__all__ = ["show_lineage", "tell"]

_COLUMNS: Final = ("element", "item", "path", "place", "build", "as")
#: Characters of a value in the readable form.
_SHOWN: Final = 60


def show_lineage(mapping: SupplierMapping, shape: str) -> int:
    """Element ← item ← source path ← place, of everything that a mapping can say."""
    lines = [line.plain() for line in mapping.lineage()]
    if shape == "json":
        show_json(lines)
        return 0
    if shape == "csv":
        writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        return 0
    shown = [
        (one["element"] or "(not written)", one["item"], one["path"] or "stated", _words(one))
        for one in lines
        if one["as"] != "stated"
    ]
    widths = [max((len(row[place]) for row in shown), default=0) for place in range(3)]
    for element, item, path, words in shown:
        click.echo(f"{element:<{widths[0]}}  <- {item:<{widths[1]}}  <- {path:<{widths[2]}}  {words}")
    stated = sum(one["as"] == "stated" for one in lines)
    say(f"{len(shown)} ways from {mapping.format.name} to R4, and {stated} elements that the build states itself.")
    return 0


def _words(line: dict[str, str]) -> str:
    how = {"condition": "decides; ", "narrative": "narrative; "}.get(line["as"], "")
    return f"({how}{line['place']})"


def tell(
    path: Given, names: list[str], catalogue: Any, now: datetime, out: Path | None, before: Earlier | None = None
) -> None:
    """
    The trace of every message of a file. It holds what the messages say, so it goes to the terminal or file that asked
    and nowhere else.
    """
    from mhbridge.mapping.tracing import trace

    mappings = [catalogue.mapping(name) for name in names]
    if not mappings:
        return
    format_ = mappings[0].format
    kept: list[dict[str, Any]] = []
    try:
        for number, (message, takers) in enumerate(
            format_.messages(path.read_bytes(), [one.source for one in mappings]), 1
        ):
            if isinstance(message, MessageError):
                continue
            for taker in takers:
                mapping = mappings[taker]
                carried = before.taken(mapping, mapping.read(message, now)) if before is not None else None
                said = (carried.items, carried.recorded) if carried is not None else (None, None)
                found = trace(mapping, message, now, "r4", *said)
                place = f"{path} ({message.facts.place or f'message {number}'}): {mappings[taker].name}"
                if out is None:
                    _say(place, found)
                else:
                    kept.append({"message": number, "mapping": mappings[taker].name, "trace": list(_plain(found))})
    except MessageError:
        return  # what is wrong is said where the file is translated
    if out is not None:
        import orjson

        out.mkdir(parents=True, exist_ok=True)
        target = out / f"{path.stem}.trace.json"
        body = orjson.dumps(kept, option=orjson.OPT_INDENT_2, default=str)
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(body)
        say(f"{target}")


def _say(place: str, found: Iterable[Traced]) -> None:
    say(place)
    for one in found:
        if not one.items or all(name.startswith("ref(") for name in one.items):
            continue
        say(f"  {one.element} = {_short(one.value)}")
        for line in _sources(one):
            say(f"      <- {', '.join(one.items)} <- {line}")


def _sources(one: Traced) -> Iterable[str]:
    by_place: dict[str, list[str]] = {}
    for origin in one.origins:
        said = f'{origin.path} "{_short(origin.said)}"' if origin.said else origin.path or "stated by the mapping"
        by_place.setdefault(origin.place, []).append(said)
    for place, several in by_place.items():
        more = f" and {len(several) - 4} more" if len(several) > 4 else ""
        yield f"{', '.join(several[:4])}{more}  ({place})"
    if not by_place:
        yield f"derived ({one.build})" if one.build else "derived, of what the message says and does not say"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("text") or value.get("reference") or value.get("value") or _coding(value) or value
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _coding(value: dict[str, Any]) -> str:
    first: dict[str, Any] = next(iter(value.get("coding", ())), {})
    return str(first.get("display") or first.get("code") or "")


def _plain(found: Iterable[Traced]) -> Iterable[dict[str, Any]]:
    for one in found:
        yield {
            "element": one.element, "value": one.value, "items": list(one.items), "build": one.build,
            "origins": [{"path": o.path, "said": o.said, "place": o.place} for o in one.origins],
        }  # fmt: skip
