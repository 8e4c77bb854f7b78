"""Lets the tests of this folder share their world: tests are not a package, what they share is found beside them."""

import sys
from pathlib import Path

import pytest

from mhbridge.mapping import catalogue

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "adapters" / "store"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


_made = {}


@pytest.fixture(autouse=True, scope="module")
def _mappings_are_loaded_once():
    """A gateway is started a thousand times here, and its mappings are values that never change."""
    make = catalogue.Catalogue

    def once(library):
        files = library._shelf.digest
        if files not in _made:
            _made[files] = make(library)
        return _made[files]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "Catalogue", once)
        yield
