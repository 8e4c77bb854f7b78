"""
How a command acts on a store: through the gateway that has it open, or, where none has, on the store itself.

One process writes to a store. While a gateway runs, what people do goes to its API, with a credential that its
configuration names; to one on another machine it goes with --url and --token. This module must never write beside a
gateway, nor take a token as an argument, which everybody on the machine could read.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from mhbridge.errors import StoreError

if TYPE_CHECKING:
    from mhbridge.config import Config
    from mhbridge.ports import Store

__all__ = ["act", "elsewhere", "is_elsewhere", "who_acts"]

T = TypeVar("T")

_PATIENCE: Final = 30.0
_IN_USE: Final = "S206"
_NUMBER: Final = re.compile(r"(?<=/)\d+(?=/|$)")


def who_acts() -> str:
    """What the log calls whoever runs the command."""
    return f"{getpass.getuser()} at the command line"


def _kept(context: click.Context, parameter: click.Parameter, value: str) -> None:
    context.meta[f"mhbridge.{parameter.name}"] = value


def elsewhere(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that may act on a gateway elsewhere."""
    url = click.option(
        "--url", default="", expose_value=False, callback=_kept, metavar="URL",
        help="A gateway elsewhere: https://gateway.example:8443. Left out, the one of the configuration.",
    )  # fmt: skip
    token = click.option(
        "--token", default="", expose_value=False, callback=_kept, metavar="REFERENCE",
        help="With --url: where the token is, env:NAME or file:PATH.",
    )  # fmt: skip
    return url(token(command))


def is_elsewhere() -> bool:
    """Whether --url was given."""
    return bool(_given("url"))


def _given(name: str) -> str:
    context = click.get_current_context(silent=True)
    return str(context.meta.get(f"mhbridge.{name}", "")) if context is not None else ""


def _token() -> str:
    kind, _, name = _given("token").partition(":")
    try:
        if kind == "env":
            return os.environ[name].strip()
        if kind == "file":
            return Path(name).read_text("utf-8").strip()
    except (KeyError, OSError, UnicodeDecodeError):
        pass
    raise click.UsageError("with --url, --token says where the token is: env:NAME or file:PATH")


def act(
    config: Path | None,
    do: Callable[[Store], Awaitable[T]],
    path: str,
    body: dict[str, Any] | None = None,
    *,
    why: str = "",
) -> tuple[int, T | Any]:
    """
    Do one thing to the configured store: status and answer, as the API gives them (200 and a value where it was done
    here).

    Args:
        do: what is done where no gateway has the store.
        path: of the API, which POST is sent to where one has; with `body` as JSON.
        why: why something of a patient is read, which needs a credential that may.

    Raises:
        StoreError: there is no store, or a gateway has it whose API cannot be asked.
    """
    from mhbridge.cli.operating import found
    from mhbridge.config import load

    if is_elsewhere():
        url = _given("url").rstrip("/")
        if not url.startswith(("https://", "http://")):
            raise click.UsageError("--url begins with https://")
        return asyncio.run(_post(url + path, _token(), body or {}, why))
    file = found(config)
    settings = load(file)
    store = settings.gateway.store_path
    if store is not None and not store.exists():
        hint = f"as {file} says" if file else "and no ./mhbridge.toml that names another: give --config"
        raise StoreError("S217", f"there is no store {store}, {hint}")
    body = body or {}
    said = why or str(body.get("why") or body.get("as") or "")
    try:
        return 200, asyncio.run(_here(settings, do, path, said))
    except StoreError as error:
        if error.code != _IN_USE or settings.http is None:
            raise
    return asyncio.run(_there(settings, path, body, why))


async def _here(settings: Config, do: Callable[[Store], Awaitable[T]], path: str, why: str) -> T:
    from mhbridge.app.storing import store_of

    store = store_of(settings)
    await store.open()
    try:
        # In the log before it is done, as it is where the gateway does it.
        about = _NUMBER.search(path)
        number = int(about[0]) if about else 0
        await store.audit(who_acts(), _NUMBER.sub("{id}", path), number, datetime.now(UTC), why=why)
        return await do(store)
    finally:
        await store.close()


async def _there(settings: Config, path: str, body: dict[str, Any], why: str) -> tuple[int, Any]:
    assert settings.http is not None
    role, whose = ("clinical", "a clinical role") if why else ("operator", "an operator")
    credential = next((access for access in settings.access if role in access.roles), None)
    if credential is None:
        example = f'[[access]] with token = "env:NAME" and roles = ["{role}"]'
        raise click.ClickException(
            f"a gateway has the store, and its configuration names no credential of {whose}: give it an {example}, and "
            "start it again, or stop it for the while"
        )
    scheme = "http" if settings.http.tls is None else "https"
    return await _post(f"{scheme}://{settings.http.listen}{path}", credential.token.reveal(), body, why)


async def _post(url: str, token: str, body: dict[str, Any], why: str) -> tuple[int, Any]:
    import aiohttp

    from mhbridge.console.access import REASON

    headers = {"Authorization": f"Bearer {token}", **({REASON: why} if why else {})}
    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, json=body, headers=headers) as response,
        ):
            return response.status, await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise StoreError(_IN_USE, f"the gateway that has the store does not answer at {url}") from error
