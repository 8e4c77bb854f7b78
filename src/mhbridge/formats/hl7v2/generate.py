"""
Writes `structure.json` from the facts in the PyPI package hl7apy (MIT): `python -m mhbridge.formats.hl7v2.generate`.

Only facts are taken: which data type each field of each segment has, which data types each data type is made of, and
the names of the segments of every version. It is run by hand when a version is added; nothing imports it.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

#: Versions with a table of their own. Other versions use the nearest one (see `structure`).
VERSIONS = ("2.4",)
#: Versions whose segment names are known, so that a segment of a later version is not called a mistake.
NAMED = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.1", "2.8.2")
#: hl7apy says ST, after the letter of v2.4; v2.5 §2.A.77 calls the same characters DTM, which says how to read them.
CORRECTIONS = {("TS", 1): "DTM"}


def _standard(name: str) -> str:
    # hl7apy has second names for a type inside another one, where its parts have no parts of their own.
    return name.removesuffix("_SIMPLE").removesuffix("_CHALLENGE")


def _types(name: str, parts: tuple[Any, ...]) -> str:
    found = []
    for number, part in enumerate(parts, 1):
        expected, definition = part[0], part[1]
        if expected != f"{name}_{number}":
            raise SystemExit(f"{name}: expected part {number}, found {expected}")
        found.append(CORRECTIONS.get((name, number), _standard(definition[2])))
    return " ".join(found)


def main() -> None:
    """Write the table beside this module."""
    table: dict[str, Any] = {"versions": {}}
    names: set[str] = set()
    for version in NAMED:
        package = f"hl7apy.v{version.replace('.', '_')}"
        # Longer names are hl7apy's own placeholders; names in Z are for everybody's own use.
        segments = import_module(f"{package}.segments").SEGMENTS
        segments = {name: found for name, found in segments.items() if len(name) == 3 and not name.startswith("Z")}
        names |= segments.keys()
        if version in VERSIONS:
            structs = import_module(f"{package}.datatypes").DATATYPES_STRUCTS
            table["versions"][version] = {
                "segments": {name: _types(name, found[1]) for name, found in sorted(segments.items())},
                "types": {
                    name: _types(name, parts) for name, parts in sorted(structs.items()) if parts and "_" not in name
                },
            }
    table["names"] = " ".join(sorted(names))
    # One line per segment and type, so that a difference between two runs can be read.
    text = json.dumps(table, indent=0, ensure_ascii=True)
    Path(__file__).with_name("structure.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
