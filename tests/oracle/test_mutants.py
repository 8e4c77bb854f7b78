"""
Good resources, each changed in one place by chance, before both validators: they are to say the same of each.

    TEST_MUTANTS=3000 python -m pytest tests/oracle/test_mutants.py        about a minute

What differs by intent is listed in `differences.toml` by the id of the error. A search, not a check of every change:
it is run when the validator or its tables are worked on, and what it finds becomes a row of `tests/fhir/broken.jsonl`.
"""

from __future__ import annotations

import copy
import json
import os
import random
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mhbridge.fhir.bundle import loads
from mhbridge.fhir.definitions import r4
from mhbridge.fhir.validate import validate
from mhbridge.model import Severity

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MUTANTS = int(os.environ.get("TEST_MUTANTS", "0"))
#: What is put in the place of a text: other forms, and what another element would take.
TEXTS = [
    "zz", "", "-1", "#x", "final", "unknown", "Patient/1", "urn:uuid:123", "http://example.org/x",
    "2024-13-01", "2024-02-30T10:00:00Z", "2024-02-20T10:00:00",
]  # fmt: skip
OTHERS: list[Any] = [5, 1.5, True, None, "x", [], {}, ["x"], {"value": "x"}, {"text": "x"}]


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every (holder, key) below a resource, its type and its narrative apart."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key not in ("resourceType", "text") or not isinstance(value, (str, dict)):
                yield node, key
                yield from places(value)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield node, index
            yield from places(value)


def mutant(resource: Any, chance: random.Random) -> tuple[Any, str]:
    """The resource with one change, and what was done."""
    resource = copy.deepcopy(resource)
    everywhere = list(places(resource))
    holder, key = chance.choice(everywhere)
    value = holder[key]
    what = chance.choice(["remove", "rename", "wrap", "repeat", "other", "text", "text", "text"])
    if what == "remove":
        del holder[key]
    elif what == "rename" and isinstance(holder, dict):
        holder[f"{key}s"] = holder.pop(key)
    elif what == "wrap":
        holder[key] = value[0] if isinstance(value, list) and value else [value]
    elif what == "repeat" and isinstance(value, list):
        value.append(copy.deepcopy(value[-1] if value else "x"))
    elif what == "text" and isinstance(value, str):
        elsewhere = [h[k] for h, k in everywhere if isinstance(h[k], str)]
        # The scheme of an address may be written in capitals (RFC 3986 §3.1), which the reference validator refuses.
        capitals = f"{value}." if "://" in value else value.upper()
        near = [f"{value}x", value[:-1], capitals, value.lower(), f" {value}", f"{value} "]
        holder[key] = chance.choice([chance.choice(TEXTS), chance.choice(near), chance.choice(elsewhere)])
    else:
        holder[key] = chance.choice(OTHERS)
    now = holder.get(key) if isinstance(holder, dict) else holder
    return resource, f"{what} {key}, now {str(now)[:60]!r}"


def good(oracle: Any) -> dict[str, list[Any]]:
    """By type: the resources of the golden files, the goldens themselves, and UK Core's examples."""
    found = []
    for golden in sorted((ROOT / "fixtures").rglob("*.r4.json")):
        bundles = json.loads(golden.read_text("utf-8"))
        for bundle in bundles if isinstance(bundles, list) else [bundles]:
            found += [bundle, *(entry["resource"] for entry in bundle["entry"])]
    for example in sorted(Path(os.environ["TEST_CORPUS"], "nhs-ukcore-examples").rglob("*.xml")):
        found.append(json.loads(oracle(example.read_text("utf-8"))["json"]))
    by_type: dict[str, list[Any]] = {}
    for resource in found:
        if r4().is_resource(resource["resourceType"]) and not validate(resource):
            by_type.setdefault(resource["resourceType"], []).append(resource)
    return by_type


@pytest.mark.skipif(not MUTANTS, reason="TEST_MUTANTS does not say how many resources to change")
def test_mutants(oracle: Any) -> None:
    rows = tomllib.loads((HERE / "differences.toml").read_text("utf-8"))["mutant"]

    def explained(identifier: str, message: str) -> bool:
        return any(
            identifier in (*row.get("java", []), *row.get("ours", [])) and row.get("says", "") in message
            for row in rows
        )

    bases = good(oracle)
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    unexplained: list[str] = []
    agreed = differed = 0
    while agreed + differed < MUTANTS:
        changed, what = mutant(chance.choice(bases[chance.choice(sorted(bases))]), chance)
        text = json.dumps(changed)
        found = [
            (str(issue["id"]), issue["message"], issue["location"])
            for issue in oracle(text)["issues"]
            if issue["severity"] in ("error", "fatal")
        ]
        try:
            ours = [issue for issue in validate(loads(text.encode())) if issue.severity is Severity.ERROR]
        except ValueError:
            continue  # what is no JSON for us never gets as far as the validator
        if bool(found) == bool(ours):
            agreed += 1
            continue
        differed += 1
        found += [(issue.code, issue.text, issue.path) for issue in ours]
        if not any(explained(identifier, message) for identifier, message, _ in found):
            unexplained.append(f"{changed.get('resourceType')}, {what}: {found}")
    summary = f"seed {seed}: {agreed} agreed, {differed} differed, {len(unexplained)} without a reason"
    assert not unexplained, "\n".join([summary, *unexplained])
