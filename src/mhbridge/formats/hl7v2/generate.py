"""
Writes `structure.json` from the facts in the PyPI package hl7apy (MIT): `python -m mhbridge.formats.hl7v2.generate`.

Only facts are taken: which data type each field of each segment has in each version, which data types each data type is
made of, and the names of the segments. It is run by hand when a version is added; nothing imports it.

What is written is a history: the types of a segment's fields, or of a type's components, stand under the first version
that has them so, and hold until the next that is named. Nothing (`""`) says that the version has the segment no more.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

#: Versions whose types are known. Others use the nearest one (see `structure`).
VERSIONS = ("2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.1", "2.8.2")
#: Versions of which only the names of segments are, so that none of them is called a mistake.
NAMED = ("2.1", "2.2", *VERSIONS)
#: hl7apy says ST, after the letter of v2.4; v2.5 §2.A.77 calls the same characters DTM, which says how to read them.
#: Of OBX-20 to OBX-22 v2.5.1 says only that they are reserved for what v2.6 makes of them.
CORRECTIONS = {("TS", 1): "DTM", ("OBX", 20): "CWE", ("OBX", 21): "EI", ("OBX", 22): "CNE"}
#: Up to v2.3 a type made for one field is a CM; hl7apy tells them apart by names of its own. Where v2.3.1 gave such a
#: type a name, it is that.
MADE_FOR_ONE = ("AUI", "DDI", "DLD", "EIP", "ELD", "MOC", "NDL", "OCD", "OSP", "PRL", "PTA", "SPS")
NAMES = {f"CM_{name}": name for name in MADE_FOR_ONE}
#: How hl7apy says that a field or component was withdrawn (v2.7 and later).
WITHDRAWN = "WD"


def _standard(name: str | None) -> str:
    if name in (None, "None"):
        return "varies"
    # hl7apy has second names for a type inside another one, where its parts have no parts of their own.
    name = NAMES.get(name, name).removesuffix("_SIMPLE").removesuffix("_CHALLENGE")
    return "CM" if name.startswith("CM_") else name


def _types(name: str, parts: tuple[Any, ...], before: str) -> str:
    """
    The types of all parts in order.

    Args:
        before: what they were in the version before. What is withdrawn (hl7apy says so, or leaves it out) is still
            sent, and keeps the type that it had.
    """
    had = before.split()
    found: dict[int, str] = {}
    for part in parts:
        owner, _, digits = part[0].rpartition("_")
        number = int(digits)
        if owner != name or number in found:
            raise SystemExit(f"{name}: found {part[0]}")
        type_ = CORRECTIONS.get((name, number), _standard(part[1][2]))
        if type_.upper() != WITHDRAWN:
            found[number] = type_
    return " ".join(
        found.get(number) or (had[number - 1] if number <= len(had) else "ST")
        for number in range(1, max([*found, 0 if not parts else len(had)], default=0) + 1)
    )


def _note(histories: dict[str, dict[str, str]], name: str, version: str, types: str) -> None:
    history = histories.setdefault(name, {})
    if types != _latest(history):
        history[version] = types


def _latest(history: dict[str, str]) -> str:
    return list(history.values())[-1] if history else ""


def main() -> None:
    """Write the table beside this module."""
    names: set[str] = set()
    segments: dict[str, dict[str, str]] = {}
    types: dict[str, dict[str, str]] = {}
    for version in NAMED:
        package = f"hl7apy.v{version.replace('.', '_')}"
        # Longer names are hl7apy's own placeholders; names in Z are for everybody's own use.
        found = import_module(f"{package}.segments").SEGMENTS
        found = {name: one for name, one in found.items() if len(name) == 3 and not name.startswith("Z")}
        names |= found.keys()
        if version not in VERSIONS:
            continue
        for name in sorted({*found, *segments}):
            # Of a segment that v2.7 withdrew hl7apy has the name alone.
            parts = found[name][1] if len(found.get(name, ())) > 1 else ()
            _note(segments, name, version, _types(name, parts, _latest(segments.get(name, {}))))
        structs = import_module(f"{package}.datatypes").DATATYPES_STRUCTS
        structs = {_standard(name): (name, parts) for name, parts in structs.items() if parts and _named(name)}
        for name in sorted({*structs, *types}):
            if name not in structs:
                continue  # withdrawn types are still sent, in the fields that are
            own, parts = structs[name]
            _note(types, name, version, _types(own, parts, _latest(types.get(name, {}))))
    table = {
        "names": " ".join(sorted(names)),
        "segments": dict(sorted(segments.items())),
        "types": dict(sorted(types.items())),
    }
    # One line per segment, type and version, so that a difference between two runs can be read.
    text = json.dumps(table, indent=0, ensure_ascii=True)
    Path(__file__).with_name("structure.json").write_text(text + "\n", "utf-8")


def _named(name: str) -> bool:
    return "_" not in name or name in NAMES


if __name__ == "__main__":
    main()
