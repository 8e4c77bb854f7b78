"""
The table of hand-broken resources: rows of `broken.jsonl`, each a good resource of `good.json` with something changed.

Our own validator is tested with it, and HL7's reference validator judges it beside ours.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from mhbridge.fhir.bundle import loads

__all__ = ["BROKEN", "GOOD", "changed", "documents_of"]

GOOD = Path(__file__).with_name("good.json")
BROKEN: list[dict[str, Any]] = [
    json.loads(line) for line in Path(__file__).with_name("broken.jsonl").read_text("utf-8").splitlines()
]


def changed(resource: Any, row: dict[str, Any]) -> Any:
    """A good resource with the row's JSON Pointers set and removed."""
    resource = copy.deepcopy(resource)
    # From the back, so that removing an entry does not move the next.
    for pointer, value in [*row["set"].items(), *((p, ...) for p in reversed(row["remove"]))]:
        *steps, last = (int(s) if s.isdigit() else s for s in pointer.split("/")[1:])
        holder = resource
        for step in steps:
            holder = holder[step]
        if value is ...:
            holder.pop(last, None) if isinstance(holder, dict) else holder.pop(last)
        elif isinstance(holder, list) and last == len(holder):
            holder.append(value)
        else:
            holder[last] = value
    return resource


def documents_of(golden: Path) -> list[tuple[dict[str, Any], bool]]:
    """What the messages of a fixture come to, each with whether it may not leave, as it is not valid (M750)."""
    made = loads(golden.read_bytes())
    documents = [one for one in (made if isinstance(made, list) else [made]) if one is not None]
    report = loads(golden.with_name(golden.name.replace(".r4.json", ".report.json")).read_bytes())
    parked = [one["code"] == "M750" for one in report["messages"] for _ in one.get("documents", ())]
    return list(zip(documents, parked, strict=True))
