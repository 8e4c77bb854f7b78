"""`feeds`: what is known of each feed, whether it is silent, and which numbers of its messages have not come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mhbridge.cli.looking import asking, config_option, table
from mhbridge.cli.options import as_json, say, show_json
from mhbridge.ports import OPEN_ENDED, Gap, Profile, Store

__all__ = ["feeds"]


async def _found(store: Store) -> tuple[Sequence[Profile], Sequence[Gap]]:
    return await store.profiles(), await store.gaps()


@click.command()
@config_option
@as_json
def feeds(config: Path | None, as_json: bool) -> int:
    """
    Show every feed that was ever listened to: how much came on the last day, how much it usually sends, since when it
    is silent, and which numbers are missing of its sender's own counting, for telling the sender which to send again.

    What it usually sends is known after three weeks. As the gateway last wrote it down, which it does every minute.
    """
    from mhbridge.gateway.silence.arrivals import usually

    profiles, gaps = asking(config, _found)
    shown = [
        {
            "feed": profile.feed,
            "day": profile.day.isoformat(),
            "count": profile.count,
            "usually": round(usually(profile.hours), 1) or None,
            "silent_since": None if profile.silent_since is None else profile.silent_since.isoformat(),
            "missing": [
                {"first": gap.first, "last": gap.last, "noticed": gap.seen_at.isoformat()}
                for gap in gaps
                if gap.feed == profile.feed and gap.last != OPEN_ENDED
            ],
        }
        for profile in profiles
    ]
    if as_json:
        show_json(shown)
    elif shown:
        table("Feeds", ["feed", "last day", "came", "usually", "silent since", "missing"], [_row(one) for one in shown])
    else:
        say("nothing was listened to yet")
    return 0


def _row(one: dict[str, Any]) -> list[str]:
    missing = [
        f"{gap['first']}" if gap["first"] == gap["last"] else f"{gap['first']} to {gap['last']}"
        for gap in one["missing"]
    ]
    since = (one["silent_since"] or "")[:16].replace("T", " ")
    usual = "" if one["usually"] is None else f"{one['usually']:g}"
    return [one["feed"], one["day"], str(one["count"]), usual, since, "\n".join(missing)]
