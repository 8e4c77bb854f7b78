"""
What the configuration says of keeping: how long, on what basis, and under which key.

A type of document is kept as long as the longest of its routes asks for. This module must never read a key before the
store needs it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mhbridge.config.reading import parse
from mhbridge.config.sections import (
    Config,
)
from mhbridge.errors import ConfigurationError
from mhbridge.ports import Retention

__all__ = ["key_at", "master_key_of", "retention_of"]

#: Of AES-256, in hexadecimal digits.
_DIGITS: Final = 64


def retention_of(config: Config) -> Retention:
    """How long each class is kept, and each type of document that has routes of its own."""
    section = config.retention
    days: dict[str, int] = {}
    bases: dict[str, list[str]] = {}
    for route in config.routes:
        own = route.retention
        for document in route.documents:
            days[document] = max(days.get(document, 0), section.document if own is None else own.days)
            bases.setdefault(document, []).append(section.basis if own is None else own.basis)
    return Retention(
        raw=section.raw,
        document=section.document,
        episode=section.episode,
        documents=days,
        basis=section.basis,
        bases={document: "; ".join(dict.fromkeys(named)) for document, named in bases.items()},
    )


def master_key_of(config: Config) -> Callable[[], bytes] | None:
    """What gives the key that the data keys are wrapped under; `None`: it is in a file beside the store."""
    secret = config.gateway.store_key
    if secret is None:
        return None

    def key() -> bytes:
        return key_from(secret.reveal(), config.where("gateway", "store_key"))

    return key


def key_at(reference: str, config: Config) -> Callable[[], bytes]:
    """
    What gives the key at a reference that a person gave.

    Raises:
        ConfigurationError: it is no reference, or there is nothing there.
    """
    text = f"[gateway]\nstore_key = {json.dumps(reference)}"
    base = Path(config.file).parent if config.file else None
    other = parse(text, file="--to", base=base, environ=os.environ)
    key = master_key_of(other)
    assert key is not None
    return key


def key_from(text: str, where: str) -> bytes:
    """
    A key as it is written.

    Raises:
        ConfigurationError: C832.
    """
    try:
        if len(text) == _DIGITS:
            return bytes.fromhex(text)
    except ValueError:
        pass
    raise ConfigurationError([("C832", f"{where}: the key is not {_DIGITS} hexadecimal digits")])
