"""`purge`, `backup`, `restore`, `rekey`: what people do for a store. What may go or come is decided in the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from mhbridge.cli.acting import who_acts
from mhbridge.cli.looking import config_option, table
from mhbridge.cli.options import as_json, show_json
from mhbridge.errors import StoreError

if TYPE_CHECKING:
    from mhbridge.adapters.sql.door import Door
    from mhbridge.config import Config
    from mhbridge.ports import Purged

__all__ = ["backup", "purge", "rekey", "restore"]

T = TypeVar("T")


def configured(config: Path | None) -> Config:
    """
    The configuration of a store that is there.

    Raises:
        StoreError: S217, when it is not.
    """
    from mhbridge.cli.operating import found
    from mhbridge.config import load

    file = found(config)
    settings = load(file)
    path = settings.gateway.store_path
    if path is not None and not path.exists():
        hint = f"as {file} says" if file else "and no ./mhbridge.toml that names another: give --config"
        raise StoreError("S217", f"there is no store {path}, {hint}")
    return settings


def file_of(settings: Config) -> Path:
    """
    The file of the store.

    Raises:
        StoreError: S246, when it is in a database, which has tools of its own for what is asked for.
    """
    path = settings.gateway.store_path
    if path is None:
        raise StoreError("S246", "the store is in a database: use PostgreSQL's own tools")
    return path


def on_store(settings: Config, do: Callable[[Door], Awaitable[T]], *, read_only: bool = False) -> T:
    """Open the configured store, do one thing, close it."""
    from mhbridge.app.storing import store_of

    async def run() -> T:
        store = store_of(settings, read_only=read_only)
        await store.open()
        try:
            return await do(store)
        finally:
            await store.close()

    return asyncio.run(run())


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing. The gateway may be running.")
@click.option("--patient", default="", metavar="ID", help="Erase this patient instead: an identifier as it was sent.")
@click.option(
    "--kind",
    type=click.Choice(["patient", "nhs", "person"]),
    default="patient",
    show_default=True,
    help="What ID is: a sender's own number, an NHS number, or a surname and a date of birth.",
)
@click.option("--basis", default="", metavar="TEXT", help="Why a patient is erased, for the log.")
@config_option
@as_json
def purge(dry_run: bool, patient: str, kind: str, basis: str, config: Path | None, as_json: bool) -> int:
    """
    Make unreadable what has been kept for as long as [retention] and the routes say, as the gateway does every night.

    Nothing that is open goes. The gateway must be stopped, but for --dry-run.
    """
    settings, now = configured(config), datetime.now(UTC)
    if patient:
        if not basis or dry_run:
            raise click.UsageError("to erase a patient give --basis, the request or decision, and no --dry-run")
        erased = on_store(settings, lambda store: store.erase(kind, patient, who_acts(), basis, now))
        if as_json:
            show_json({name: getattr(erased, name) for name in erased.__slots__})
        else:
            click.echo(f"erased: {erased.bodies} bodies, {erased.readings} readings, {erased.tokens} search entries")
            if erased.shared:
                click.echo(f"{erased.shared} of the originals also held messages of others; their documents are kept")
            click.echo("Backups still have it until they are deleted; so has every receiver that it was sent to.")
        return 0
    purged = on_store(settings, lambda store: store.purge(now, who=who_acts(), dry_run=dry_run), read_only=dry_run)
    _show(purged, dry_run=dry_run, as_json=as_json)
    return 0


def _show(purged: Purged, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        show_json(
            {
                "expired": [{name: getattr(one, name) for name in one.__slots__} for one in purged.expired],
                "cleared": purged.cleared, "forgotten": purged.forgotten, "encrypted": purged.encrypted,
            }
        )  # fmt: skip
        return
    if not purged.expired:
        click.echo("nothing has expired")
    else:
        rows = [[one.month, str(one.rows), str(one.kept)] for one in purged.expired]
        table("would go" if dry_run else "gone", ["what", "rows", "kept, since something is open or came later"], rows)


_folder = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("folder", type=_folder)
@click.option("--keys", "keys_to", type=_folder, help="Where the data keys go; left out, FOLDER/keys. Keep them apart.")
@config_option
@as_json
def backup(folder: Path, keys_to: Path | None, config: Path | None, as_json: bool) -> int:
    """
    Copy the store into FOLDER while the gateway goes on: all of one instant, and on the disk when this ends.

    Not in it is the key of the store: NAME.key, or what store_key names.
    """
    from mhbridge.adapters.sqlite.backup import back_up
    from mhbridge.config import master_key_of

    settings = configured(config)
    done = back_up(
        file_of(settings),
        folder,
        datetime.now(UTC),
        keys_to=keys_to,
        master=master_key_of(settings),
    )
    if as_json:
        show_json({name: getattr(done, name) for name in done.__slots__})
        return 0
    click.echo(
        f"{done.messages} messages and {done.deliveries} deliveries, {done.size / 1e6:,.1f} MB in {done.seconds:.1f} s"
    )
    where = keys_to or folder / "keys"
    click.echo(f"Move {where} away from the backup, and keep the store's own key in a third place: NOTE.txt says why.")
    return 0


@click.command()
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--as-of",
    default="",
    metavar="TIME",
    help="Of a database that PostgreSQL's own tools have restored: the instant that it is of, and no FOLDER.",
)
@click.option(
    "--keys",
    "keys_from",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The file of data keys; left out, the one beside where the store was, else that in FOLDER/keys.",
)
@config_option
@as_json
def restore(folder: Path | None, as_of: str, keys_from: Path | None, config: Path | None, as_json: bool) -> int:
    """
    Make the configured store from the backup in FOLDER, where there is none, after looking at all of it.

    A store in a database is restored by PostgreSQL's own tools; then --as-of, before the gateway starts.

    What had not been delivered at the backup's instant may have been since: it is looked up before it is sent.
    """
    from mhbridge.adapters.heads import HeadsFile
    from mhbridge.adapters.sqlite.backup import restore as made_from
    from mhbridge.cli.operating import found
    from mhbridge.config import load, master_key_of
    from mhbridge.console.asking import instant

    settings = load(found(config))
    if as_of:
        return _restored(settings, instant(as_of, datetime.now(UTC)), as_json=as_json)
    path = file_of(settings)
    if folder is None:
        raise click.UsageError("name the folder of the backup")
    done = asyncio.run(
        made_from(
            folder,
            path,
            datetime.now(UTC),
            who=who_acts(),
            keys_from=keys_from,
            master=master_key_of(settings),
            tell=HeadsFile(settings.gateway.heads_path).add,
        )
    )
    if as_json:
        show_json({name: getattr(done, name) for name in done.__slots__})
        return 0
    click.echo(f"The store is as it was on {done.at:%d %B %Y at %H:%M:%S} UTC, in {done.seconds:.1f} s:")
    click.echo(
        f"{done.messages} messages, {done.deliveries} deliveries, {done.log_rows} rows of the log, each as written"
    )
    click.echo(f"{done.bodies} bodies opened, {done.purged} had been purged")
    click.echo(f"{done.doubtful} deliveries may have left since then, and are looked up before anything is sent")
    click.echo("What was received since then is not here: have the senders send it again, from that time on.")
    return 0


def _restored(settings: Config, of: datetime, *, as_json: bool) -> int:
    """What is left to be done when a database was restored."""
    from mhbridge.adapters.heads import HeadsFile
    from mhbridge.app.storing import store_of

    if not settings.gateway.database:
        raise click.UsageError("--as-of is for a store in a database; of a file, name the folder of the backup")
    heads, now = HeadsFile(settings.gateway.heads_path), datetime.now(UTC)

    async def run() -> tuple[int, int]:
        store = store_of(settings, alone=True)
        await store.open()
        try:
            rows = await store.verify_log()
            for line in await store.begun_again(heads.lines(), now):
                heads.add(line)
            return rows, await store.restored(of, who_acts(), now)
        finally:
            await store.close()

    rows, doubtful = asyncio.run(run())
    if as_json:
        show_json({"at": of, "log_rows": rows, "doubtful": doubtful})
        return 0
    click.echo(f"{rows} rows of the log, each as written")
    click.echo(f"{doubtful} deliveries may have left since then, and are looked up before anything is sent")
    click.echo("What was received since then is not here: have the senders send it again, from that time on.")
    return 0


@click.command()
@click.option("--to", "reference", default="", metavar="REFERENCE", help="The next key: file:PATH or env:NAME.")
@config_option
def rekey(reference: str, config: Path | None) -> int:
    """
    Bring the store under another key. The gateway must be stopped.

    Without --to, a key beside the store gives way to a new one. With --to, write the same as store_key under [gateway]
    before the next start. What is stored is not touched: only the keys of it are wrapped anew.
    """
    from mhbridge.adapters.sqlite import SqliteStore
    from mhbridge.adapters.sqlite.rekeying import rekey as wrap
    from mhbridge.app.storing import store_of
    from mhbridge.config import key_at, master_key_of

    settings, now = configured(config), datetime.now(UTC)
    master = master_key_of(settings)
    to = key_at(reference, settings) if reference else None
    if to is None and master is not None:
        raise click.UsageError("the configuration has store_key: make the next key where that is kept, and give --to")
    path = settings.gateway.store_path

    async def note(store: Door) -> None:
        await store.open()
        try:
            if path is None:
                assert to is not None
                store.keys.ring.rewrap(to(), store.keys.secret)
            await store.audit(who_acts(), "rekey", 0, now)
        finally:
            await store.close()

    if path is not None:
        wrap(path, master=master, to=to)
        asyncio.run(note(SqliteStore(path, master=to)))
    else:
        asyncio.run(note(store_of(settings, alone=True)))
    click.echo("The data keys are wrapped under the new key.")
    if reference:
        click.echo(f'Write store_key = "{reference}" under [gateway] before the next start, and destroy the old key.')
    return 0
