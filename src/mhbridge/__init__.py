"""
mhbridge: takes care-transition records as systems emit them, translates them into FHIR, relays them and loses none.

As a library::

    from mhbridge import load

    mapping = load().mapping("example-mental-health/discharge-letter")

The names here are the public ones; everything is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mhbridge.mapping.catalogue import Catalogue, load
    from mhbridge.mapping.translation import Translation

__all__ = ["Catalogue", "Translation", "__version__", "load"]

__version__ = "0.1.0"

_WHERE = {
    "Catalogue": "mhbridge.mapping.catalogue",
    "Translation": "mhbridge.mapping.translation",
    "load": "mhbridge.mapping.catalogue",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'mhbridge' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_WHERE[name]), name)
