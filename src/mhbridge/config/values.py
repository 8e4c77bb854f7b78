"""
The small values that a configuration is made of, each with one way to write it: durations, addresses, secrets, folders.

A problem is raised with its code and without the value. Nothing here may have a default that listens, sends or trusts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import time
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from pydantic import BeforeValidator, StringConstraints, ValidationInfo
from pydantic_core import PydanticCustomError


class Listen(NamedTuple):
    """Where to listen. Port 0 lets the system choose, for tests."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Only this machine can reach it."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Secret:
    """A secret by reference. The reference may be shown; the secret is only ever had by asking for it."""

    __slots__ = ("_read", "reference")

    def __init__(self, reference: str, read: Callable[[], str]) -> None:
        self.reference = reference
        self._read = read

    def reveal(self) -> str:
        """The secret itself. A file is read each time, so that it can be changed while the gateway runs."""
        return self._read()

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine. A name is not looked up: what it resolves to may change."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


_DURATION: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE: Final = {"": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3}


def _pause(value: Any) -> float:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)", value) if isinstance(value, str) else None
    if match is None:
        raise PydanticCustomError("C806", 'write a length of time as text, for example "90s", "15m", "24h" or "7d"')
    return float(match[1]) * _DURATION[match[2]]


def _duration(value: Any) -> float:
    seconds = _pause(value)
    if not seconds:
        raise PydanticCustomError("C806", "must be longer than nothing")
    return seconds


def _size(value: Any) -> int:
    match = re.fullmatch(r"(\d{1,12}) ?(kB|MB|GB|)", str(value)) if not isinstance(value, bool) else None
    if match is None or int(match[1]) == 0:
        raise PydanticCustomError("C806", 'write a size in bytes, for example 20000000 or "20MB"')
    return int(match[1]) * _SIZE[match[2]]


def _listen(value: Any) -> Listen:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/\s]+):(\d{1,5})", value) if isinstance(value, str) else None
    if match is None or int(match[2]) > 65535:
        raise PydanticCustomError("C806", 'write an address as HOST:PORT, for example "127.0.0.1:2575"')
    return Listen(match[1].strip("[]"), int(match[2]))


def _base(info: ValidationInfo) -> Path:
    return Path(info.context["base"]) if info.context else Path()


#: A path that begins with a drive, or with a machine.
_OF_WINDOWS: Final = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def _folder(value: Any, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise PydanticCustomError("C806", "write the path of a folder as text")
    if os.name == "posix" and _OF_WINDOWS.match(value):
        # It would be made here, under this name, and nobody would ever put a file into it.
        raise PydanticCustomError("C806", "this is a path of Windows, and this machine has others: /srv/extracts")
    return (_base(info) / value).resolve()


def _file_path(value: Any, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise PydanticCustomError("C806", "write the path of a file as text")
    return (_base(info) / value).resolve()


def _mappings(value: Any, info: ValidationInfo) -> Path:
    path = _folder(value, info)
    if not path.is_dir():
        raise PydanticCustomError("C808", "there is no folder of this name")
    if not any((path / part).is_dir() for part in ("suppliers", "documents", "parts", "codes")):
        raise PydanticCustomError(
            "C808", "there are no mapping files in this folder: name the one that holds suppliers/"
        )
    return path


def _file(value: Any, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value.startswith("file:"):
        raise PydanticCustomError("C807", 'write a reference to a file, for example "file:tls/gateway.pem"')
    path = (_base(info) / value.removeprefix("file:")).resolve()
    if not os.access(path, os.R_OK) or not path.is_file():
        raise PydanticCustomError("C808", "there is no readable file of this name")
    return path


def _secret(value: Any, info: ValidationInfo) -> Secret:
    kind, colon, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not colon or kind not in ("env", "file") or not name:
        raise PydanticCustomError("C807", 'a secret is written by reference: "env:NAME" or "file:PATH"')
    if kind == "file":
        path = _file(value, info)

        def read() -> str:
            return path.read_text("utf-8").strip()

        return Secret(value, read)
    secret = (info.context or {}).get("environ", {}).get(name, "")
    if not secret:
        raise PydanticCustomError("C808", "the environment variable referred to is not set, or empty")
    return Secret(value, lambda: str(secret))


def store_reference(value: Any, info: ValidationInfo) -> str:
    """`sqlite:PATH`, with the path made absolute; or `postgresql://USER@HOST/DATABASE`, without a password."""
    if isinstance(value, str) and value.startswith(POSTGRES):
        return _database(value)
    if not isinstance(value, str) or not value.startswith("sqlite:") or not value.removeprefix("sqlite:"):
        raise PydanticCustomError("C806", 'write the store as "sqlite:PATH" or "postgresql://USER@HOST/DATABASE"')
    return f"sqlite:{(_base(info) / value.removeprefix('sqlite:')).resolve()}"


#: How the address of a database begins.
POSTGRES: Final = ("postgresql://", "postgres://")


def _database(value: str) -> str:
    try:
        parts = urlsplit(value)
        secret = parts.password is not None or "password" in {name for name, _ in parse_qsl(parts.query)}
    except ValueError:
        parts, secret = urlsplit(""), False
    if secret:
        raise PydanticCustomError("C807", "the password does not stand here: give store_password by reference")
    if not parts.path.strip("/"):
        raise PydanticCustomError("C806", 'write the store as "postgresql://USER@HOST/DATABASE"')
    return value


def hours(value: Any) -> tuple[time, time]:
    """Hours of the day, local, from and until."""
    match = re.fullmatch(r"(\d\d:\d\d)-(\d\d:\d\d)", value) if isinstance(value, str) else None
    try:
        if match is not None:
            return time.fromisoformat(match[1]), time.fromisoformat(match[2])
    except ValueError:
        pass
    raise PydanticCustomError("C806", 'write the hours of the day as "08:00-20:00"')


class Rate(float):
    """The longest silence, in seconds, that "at least so many" allows; and how many that are, in what time."""

    __slots__ = ("count", "unit")

    count: int
    unit: str


def rate(value: Any) -> Rate:
    """`1/h`, `20/d`."""
    match = re.fullmatch(r"([1-9]\d{0,6})/(m|h|d)", value) if isinstance(value, str) else None
    if match is None:
        raise PydanticCustomError("C806", 'write a rate as a number for each minute, hour or day, for example "1/h"')
    found = Rate(_DURATION[match[2]] / int(match[1]))
    found.count, found.unit = int(match[1]), match[2]
    return found


def time_of_day(value: Any) -> time:
    """An hour of the day, local."""
    try:
        if isinstance(value, str) and re.fullmatch(r"\d\d:\d\d", value):
            return time.fromisoformat(value)
    except ValueError:
        pass
    raise PydanticCustomError("C806", 'write an hour of the day as "16:00"')


def pace(value: Any) -> float:
    """So many each second."""
    match = re.fullmatch(r"([1-9]\d{0,6})/(s|m|h)", value) if isinstance(value, str) else None
    if match is None:
        raise PydanticCustomError("C806", 'write how many for each second, minute or hour, for example "50/s"')
    return int(match[1]) / _DURATION[match[2]]


Duration = Annotated[float, BeforeValidator(_duration)]
#: A length of time that may be none at all.
Pause = Annotated[float, BeforeValidator(_pause)]
Size = Annotated[int, BeforeValidator(_size)]
Address = Annotated[Listen, BeforeValidator(_listen)]
Folder = Annotated[Path, BeforeValidator(_folder)]
#: A file that need not be there yet.
FilePath = Annotated[Path, BeforeValidator(_file_path)]
#: A folder that must be there already, since nothing would be found in it otherwise.
MappingFolder = Annotated[Path, BeforeValidator(_mappings)]
FileReference = Annotated[Path, BeforeValidator(_file)]
SecretReference = Annotated[Secret, BeforeValidator(_secret)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
#: An item of a document type.
ItemName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
#: An organisation or site, as the Organisation Data Service names it.
OdsCode = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{3,12}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


def destination_url(value: str, schemes: tuple[str, str]) -> str:
    """An absolute URL of the first scheme, or of the second when it stays on this machine; nothing else in it."""
    if not value.isprintable() or any(c.isspace() for c in value):
        # urlsplit takes some of them out without a word.
        raise PydanticCustomError("C810", "an address holds no blanks")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if host is None or parts.scheme not in schemes:
        raise PydanticCustomError("C810", f"write an address that begins with {schemes[0]}://")
    if parts.username is not None or parts.password is not None:
        raise PydanticCustomError("C810", "a user name or password does not belong in an address; use auth")
    if parts.query or parts.fragment:
        raise PydanticCustomError("C810", "an address has no query and no fragment")
    if parts.scheme != schemes[0] and not is_loopback(host):
        raise PydanticCustomError("C810", f"beyond this machine it must be {schemes[0]}://")
    return value
