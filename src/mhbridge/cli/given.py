"""What a command is given to read: files, or `-` for standard input, which is never put on a disk."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import click

__all__ = ["FILE", "Given", "Piped"]


class Piped:
    """Standard input in the place of a file."""

    stem = "stdin"

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __str__(self) -> str:
        return "-"

    def read_bytes(self) -> bytes:
        """All of it."""
        return self._body

    def open(self, _mode: str = "rb") -> BytesIO:
        """It, from its beginning."""
        return BytesIO(self._body)


Given: TypeAlias = Path | Piped


class _File(click.Path):
    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, allow_dash=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "-":
            return Piped(sys.stdin.buffer.read())
        return super().convert(value, param, ctx)


#: A file that is there, or `-`.
FILE = _File()
