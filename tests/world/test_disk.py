"""
A disk that is full, or that fails to sync: no answer is false, nothing answered is lost, a full disk is gone on from
without anybody's help, and after a failed sync the process is gone at once.
"""

from __future__ import annotations

import pytest
from disk import Disk
from story import Story, hospitals

from world import simulate

SEED = 7


def tell(folder, disk, **options):
    """A story of two patients on this disk. The report, the story and its world."""

    async def main(world):
        systems = hospitals(world, patients=2, messages=8)
        settings = {"pause": lambda: 15.0, "patience": 7_200.0}
        story = Story(world, systems, **settings | options)
        return await story.run(), story, world

    return simulate(SEED, folder, main, disk=disk)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """How many writes and syncs the story has until it is stopped: then the process is going already."""
    disk, found = Disk(), []

    def started(gateway):
        stop = gateway.stop

        async def counted():
            found.append((disk.writes, disk.syncs))
            await stop()

        gateway.stop = counted

    assert tell(tmp_path_factory.mktemp("whole"), disk, started=started)[0].faults == {}
    return Disk(writes=found[0][0], syncs=found[0][1])


def test_while_the_disk_is_full_nothing_is_taken_and_afterwards_it_goes_on_by_itself(tmp_path):
    disk = Disk()

    def started(gateway):
        loop = gateway.world.loop
        loop.call_later(40, setattr, disk, "full", True)
        loop.call_later(640, setattr, disk, "full", False)

    report, story, world = tell(tmp_path, disk, started=started)
    assert report.faults == {}
    assert report.answered == report.sent
    # It is tried again and again meanwhile, said within seconds, and never needed a new start.
    assert story.attempts.repeats > 50
    (said, *_) = [at for at, line in world.said if line["event"] in ("store_failed", "pressure")]
    assert 40 < said <= 60
    assert not [at for at, line in world.said if line["event"] == "received" and 40 < at < 640]
    assert len(world.gateways) == 2, "the last is the checker's own"


def test_a_write_that_finds_no_room_wherever_it_is_costs_nothing(tmp_path, whole):
    broken = {}
    for number in range(0, whole.writes, max(whole.writes // 15, 1)):
        report, *_ = tell(tmp_path / str(number), Disk(full_at=number))
        if report.faults or report.answered != report.sent:
            broken[number] = report.faults
    assert broken == {}


def test_a_sync_that_fails_wherever_it_is_ends_the_process_at_once_and_the_next_has_all_that_was_answered(
    tmp_path, whole
):
    broken = {}
    for number in range(0, whole.syncs, max(whole.syncs // 15, 1)):
        report, _, world = tell(tmp_path / str(number), Disk(broken_at=number))
        # Where it fails while the store is opened, the process does not even begin.
        ended = world.gateways[0].dead or len(world.gateways) > 2
        if report.faults or report.answered != report.sent or not ended:
            broken[number] = report.faults, ended
    assert broken == {}
