"""
Parts of resources that are stated, not received: what a build says of itself, such as a profile, a category or a role.

Equal parts are one object, which all documents share, so that what was found out about it once holds wherever it
stands: the validator looks at each once for a kind of place. So nobody may change one, and nothing that a message said
may ever become one: they are kept for as long as the process lasts.
"""

from __future__ import annotations

from typing import Any, Final

from mhbridge.fhir.bundle import dumps
from mhbridge.fhir.recurring import LASTING

__all__ = ["STATED", "shared", "stated"]

#: The id of a part → the part, so that no other object ever has that id.
STATED: Final[dict[int, Any]] = {}
#: Its JSON → the part.
_KNOWN: Final[dict[bytes, Any]] = {}
#: What is loaded again and again, and each time otherwise, is no longer kept then; it is only slower.
_MOST: Final = 1 << 16


def stated(value: Any) -> Any:
    """The one object, or list, that equals `value`, and so with all in it. Anything else is as it is."""
    if type(value) is dict:
        value = {key: stated(part) for key, part in value.items()}
    elif type(value) is list:
        value = [stated(part) for part in value]
    else:
        return value
    text = dumps(value)
    found = _KNOWN.get(text)
    if found is None:
        if len(_KNOWN) >= _MOST:
            return value
        found = _KNOWN.setdefault(text, value)
        STATED[id(found)] = LASTING[id(found)] = found
    return found


def shared(whole: dict[str, Any], part: Any, known: dict[int, Any]) -> dict[str, Any]:
    """
    A whole of which one part may not be stated; where it is, the whole is stated too.

    Args:
        known: id of the part → the whole, for the next time.
    """
    if id(part) not in STATED:
        return whole
    found: dict[str, Any] = stated(whole)
    if id(found) in STATED:
        known[id(part)] = found
    return found
