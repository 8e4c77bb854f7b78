"""
Writes `structure-*.json` from the facts in the PyPI package fhir.resources: `python -m mhbridge.formats.fhir.generate`.

Only facts are taken: the elements of each resource and data type of STU3 (3.0.1) and R4, which type each has, and
whether it repeats. The package has R4 as R4B (4.3.0); the resources that differ between the
two (evidence, medicinal products, subscriptions) are left out. It is run by hand; nothing imports it.
"""

from __future__ import annotations

import json
import re
import typing
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

#: Version → package.
VERSIONS = {"STU3": "fhir.resources.STU3", "R4": "fhir.resources.R4B"}
#: Elements that every resource has, and those of everything else: the reader adds them.
OF_RESOURCES = frozenset(
    {"id", "meta", "implicitRules", "language", "text", "contained", "extension", "modifierExtension"}
)
OF_ELEMENTS = frozenset({"id", "extension"})
NEVER = frozenset({"fhir_comments", "resourceType"})
#: What R4B has otherwise than R4 (hl7.org/fhir/R4B/diff.html).
DIFFERENT = (
    "AdministrableProductDefinition", "Citation", "ClinicalUseDefinition", "DeviceDefinition", "Evidence",
    "Ingredient", "ManufacturedItemDefinition", "MedicinalProductDefinition", "NutritionProduct",
    "PackagedProductDefinition", "RegulatedAuthorization", "Subscription", "SubstanceDefinition",
)  # fmt: skip


def _named(annotation: Any) -> tuple[str, bool]:
    """The FHIR type that an annotation stands for, and whether it is a list of them."""
    text = str(annotation)
    many = "typing.List[" in text
    primitive = re.search(r"typing\.Annotated\[.*, <?(?:[\w.]*\.)?(\w+)(?:\(| object)", text)
    if primitive is not None:
        name = primitive[1]
        # What FHIR calls uuid has another name there, which Python's own has taken.
        return "uuid" if name == "UuidVersion" else name[0].lower() + name[1:], many
    complex_ = re.search(r"(?:abc|\.)\.?(\w+)Type\b", text)
    if complex_ is not None:
        return complex_[1], many
    if "bool" in text:
        return "boolean", many
    raise SystemExit(f"what is {text}?")


def _elements(model: Any, left_out: frozenset[str]) -> str:
    found = []
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra or {}
        if name in NEVER or name in left_out or name.endswith("__ext") or not extra.get("element_property"):
            continue
        type_, many = _named(field.annotation)
        key = field.alias or name
        choice = extra.get("one_of_many")
        found.append(f"{key}{'*' if many else ''}{f'@{choice}' if choice else ''}:{type_}")
    return " ".join(found)


def tables() -> dict[str, dict[str, str]]:
    """Version → resource or type → its elements."""
    found: dict[str, dict[str, str]] = {}
    for version, package in VERSIONS.items():
        types: dict[str, str] = {}
        base = import_module(f"{package}.resource").Resource
        for module in iter_modules(import_module(package).__path__):
            loaded = import_module(f"{package}.{module.name}")
            for name, model in vars(loaded).items():
                if (
                    not isinstance(model, type)
                    or model.__module__ != loaded.__name__
                    or not hasattr(model, "model_fields")
                ):
                    continue
                if name.startswith(("FHIR", "Abstract", *(DIFFERENT if version == "R4" else ()))):
                    continue
                if hasattr(model, "get_resource_type"):
                    types[name] = _elements(model, OF_RESOURCES if issubclass(model, base) else OF_ELEMENTS)
        found[version] = dict(sorted(types.items()))
    return found


def main() -> None:
    """Write a file for each version beside this one."""
    for version, types in tables().items():
        about = (
            f"Facts of FHIR {version} (HL7; CC0): elements, their types, * repeats, @ choice. Written by generate.py."
        )
        made = {"about": about, "resources": " ".join(sorted(_resources(version))), "types": types}
        body = json.dumps(made, indent=0, ensure_ascii=False)
        Path(__file__).with_name(f"structure-{version.lower()}.json").write_text(body + "\n", "utf-8")


def _resources(version: str) -> typing.Iterator[str]:
    package = VERSIONS[version]
    base = import_module(f"{package}.resource").Resource
    for module in iter_modules(import_module(package).__path__):
        loaded = import_module(f"{package}.{module.name}")
        for name, model in vars(loaded).items():
            own = isinstance(model, type) and model.__module__ == loaded.__name__ and issubclass(model, base)
            left_out = ("Resource", "DomainResource") if own else ()
            if own and name not in left_out and not (version == "R4" and name.startswith(DIFFERENT)):
                yield name


if __name__ == "__main__":
    main()
