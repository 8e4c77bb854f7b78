"""`mhbridge feeds`: what is known of feeds, for people and for programs."""

import asyncio
import json
from datetime import UTC, date, datetime

import pytest
from click.testing import CliRunner

from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.cli.feeds import feeds
from mhbridge.ports import OPEN_ENDED, Gap, Profile

NOW = datetime(2026, 3, 3, 9, 4, tzinfo=UTC)
FEED = "s/mllp"


async def keep(path, profiles=(), gaps=()):
    store = SqliteStore(path)
    await store.open()
    await store.keep_profiles(profiles)
    await store.keep_gaps(FEED, gaps)
    await store.close()


@pytest.fixture
def look(tmp_path):
    path = tmp_path / "mhbridge.toml"
    path.write_text('[gateway]\nstore = "sqlite:mhbridge.db"\n')

    def run(*arguments, **kept):
        asyncio.run(keep(tmp_path / "mhbridge.db", **kept))
        made = CliRunner(env={"COLUMNS": "200"}).invoke(feeds, ["--config", str(path), *arguments])
        assert made.exit_code == 0, made.output
        return made.output

    return run


LEARNED = Profile(FEED, dict.fromkeys(range(168), (2, 2, 2)), date(2026, 3, 3), 17, 20.0, NOW)
GAPS = [Gap(FEED, "a", 7, 7, NOW, told=True), Gap(FEED, "a", 12, 15, NOW), Gap(FEED, "a", 20, OPEN_ENDED, NOW)]


def test_what_is_known_of_a_feed_is_shown(look):
    said = look(profiles=[LEARNED, Profile("other/csv", {}, date(2026, 3, 2), 0)], gaps=GAPS)
    for word in (FEED, "2026-03-03", "17", "48", "2026-03-03 09:04", "7", "12 to 15", "other/csv"):
        assert word in said
    assert str(OPEN_ENDED) not in said


def test_programs_get_the_same(look):
    (one,) = json.loads(look("--json", profiles=[LEARNED], gaps=GAPS))
    assert (one["feed"], one["day"], one["count"], one["usually"]) == (FEED, "2026-03-03", 17, 48)
    assert one["silent_since"] == NOW.isoformat()
    assert [(gap["first"], gap["last"]) for gap in one["missing"]] == [(7, 7), (12, 15)]


def test_where_nothing_was_heard_that_is_said(look):
    assert look() == "nothing was listened to yet\n"
    assert json.loads(look("--json")) == []
