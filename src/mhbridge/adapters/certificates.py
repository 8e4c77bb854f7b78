"""
When certificates end, so that somebody is told before they do.

This module must never look into a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

__all__ = ["Certificates"]


class Certificates:
    """
    Reads each file again only when it has changed.

    Args:
        files: what a certificate is for → its file, in PEM.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = dict(files)
        self._read: dict[Path, tuple[int, datetime | None]] = {}

    def __call__(self) -> dict[str, datetime]:
        """What it is for → when the first certificate of its file ends. What cannot be read is left out."""
        found = {name: self._ends(path) for name, path in self._files.items()}
        return {name: at for name, at in found.items() if at is not None}

    def _ends(self, path: Path) -> datetime | None:
        try:
            changed = path.stat().st_mtime_ns
            if path not in self._read or self._read[path][0] != changed:
                self._read[path] = changed, _first_end(path.read_bytes())
            return self._read[path][1]
        except OSError:
            return None


def _first_end(pem: bytes) -> datetime | None:
    from cryptography import x509

    try:
        return min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates(pem))
    except ValueError:
        return None
