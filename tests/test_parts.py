"""Which patients are a node's: shares, handing over, what is taken from the dead, and the lease's own clock."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import UTC, datetime

import pytest

from mhbridge import log as logs
from mhbridge.errors import StoreError
from mhbridge.gateway.parts import Parts
from mhbridge.ports import LEADING, PARTS, Holding

LEASE, QUIET = 15.0, 35.0


class Table:
    """
    The leases as a store has them: a row for each part, and one for each node; time is put forward by the test.

    Leases are of a node's life, `name/number`; that of a node whose name stands alone is `name`.
    """

    def __init__(self):
        self.now = 0.0
        self.rows = {part: ["", 0, 0.0, ""] for part in range(PARTS)}
        self.nodes = {}

    def renew(self, me, lease, leave, want):
        namesakes = [life for life in self.nodes if life != me and life.partition("/")[0] == me.partition("/")[0]]
        for life in namesakes:
            del self.nodes[life]
        self.nodes[me] = self.now + lease
        alive = {node for node, until in self.nodes.items() if until > self.now}
        for row in self.rows.values():
            if row[0] == me and row[2] <= self.now - 1_000:
                row[0] = ""
        for part, row in self.rows.items():
            if row[0] == me:
                row[0], row[2] = ("", 0.0) if part in leave else (me, self.now + lease)
            elif part in want:
                row[3] = me
        mine = [part for part, row in self.rows.items() if row[0] == me]
        room, taken = -(-PARTS // len(alive)) - len(mine), {}
        for part, row in sorted(self.rows.items(), key=lambda item: item[1][3] != me):
            free = row[2] <= self.now and row[0] != me and (row[3] in ("", me) or row[3] not in alive)
            if free and (room > 0 or row[3] == me) and part not in leave:
                taken[part] = row[0] == ""
                self.rows[part] = [me, row[1] + 1, self.now + lease, ""]
                room -= 1
        held = {part: row[1] for part, row in self.rows.items() if row[0] == me}
        counts = {node: sum(row[0] == node and row[2] > self.now for row in self.rows.values()) for node in alive}
        lost = {node: datetime.fromtimestamp(until, UTC) for node, until in self.nodes.items() if until <= self.now}
        wanted = frozenset(part for part in held if self.rows[part][3] in alive - {me})
        return Holding(held, taken, wanted, counts, lost, namesake=bool(namesakes))


class Store:
    """What a node sees of them."""

    def __init__(self, table, node):
        self.table, self.node = table, node
        self.fails = False
        self.held, self.working = {}, frozenset()
        self.taken_over, self.tasks = {}, {}

    async def renew(self, lease, *, leave=(), want=()):
        if self.fails:
            raise StoreError("S240", "no connection")
        return self.table.renew(self.node, lease, leave, want)

    async def resign(self, leave):
        for part in leave:
            self.table.rows[part][0::2] = "", 0.0
        del self.table.nodes[self.node]

    def listen(self, heard):
        self.heard = heard

    def work_for(self, held, parts):
        self.held, self.working = dict(held), frozenset(parts)

    async def take_over(self, parts, now, until):
        if self.fails:
            raise StoreError("S240", "no connection")
        # What is due of a part is asked for only when it was seen to.
        assert not self.working & set(parts)
        assert self.held.keys() >= set(parts)
        self.taken_over.update(dict.fromkeys(parts, (until - now).total_seconds()))
        return 0

    async def parts_of(self, patients):
        return {patient % PARTS for patient in patients}

    async def raise_task(self, _what, cause, _now, *, name):
        self.tasks[name] = cause

    async def close_task(self, _what, _as_what, _now, *, name):
        return self.tasks.pop(name, None) is not None


class Node:
    """One node, looked after by hand."""

    def __init__(self, table, name):
        self.table, self.stream = table, io.BytesIO()
        self.store = Store(table, name)
        self.parts = Parts(
            store=self.store,
            lease=LEASE,
            quiet=QUIET,
            clock=lambda: datetime.fromtimestamp(table.now, UTC),
            log=logs.make(self.stream),
            elapsed=lambda: table.now,
        )

    def events(self):
        return [json.loads(line)["event"] for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def table():
    return Table()


async def look(*nodes, times=1, every=1.0):
    for _ in range(times):
        for node in nodes:
            await node.parts.look()
        nodes[0].table.now += every


async def settle(*nodes):
    await look(*nodes, times=4)


async def test_a_node_that_is_alone_has_all_and_begins_at_once(table):
    a = Node(table, "a")
    await a.parts.look()
    assert len(a.parts.held) == len(a.parts.working) == PARTS
    assert a.parts.leads
    assert a.parts.may_send(77)
    assert a.store.held == dict.fromkeys(range(PARTS), 1)
    assert a.store.taken_over == dict.fromkeys(range(PARTS), 0)
    assert a.parts.unheld == 0


async def test_who_comes_gets_a_fair_share_in_good_order(table):
    a, b, c = (Node(table, name) for name in "abc")
    await settle(a)
    await settle(a, b)
    await settle(a, b, c)
    shares = [node.parts.held for node in (a, b, c)]
    assert sorted(map(len, shares)) == [84, 86, 86]
    assert frozenset.union(*shares) == frozenset(range(PARTS))
    assert sum(map(len, shares)) == PARTS
    # They were given up, so whoever took them need not wait; and the one who led still leads.
    assert all(node.parts.working == node.parts.held for node in (a, b, c))
    assert {wait for node in (a, b, c) for wait in node.store.taken_over.values()} == {0}
    assert [node.parts.leads for node in (a, b, c)] == [True, False, False]
    assert b.parts.nodes == {"a": 86, "b": len(b.parts.held), "c": len(c.parts.held)}


async def test_what_is_in_hand_is_not_given_up(table):
    a, b = Node(table, "a"), Node(table, "b")
    await settle(a)
    a.parts.in_hand = lambda: set(range(100, 256))
    await settle(a, b)
    assert set(range(100, 256)) <= a.parts.held
    # Nothing more is begun of what is to go, but what was begun may be ended.
    assert len(a.store.working) == PARTS // 2
    assert a.store.held.keys() == {0, *range(100, 256)}
    a.parts.in_hand = tuple
    await settle(a, b)
    assert len(a.parts.held) == len(b.parts.held) == PARTS // 2


async def test_what_the_dead_were_sending_is_looked_up_when_it_must_have_arrived(table):
    a, b = Node(table, "a"), Node(table, "b")
    await settle(a)
    await settle(a, b)
    had = a.parts.held
    await look(b, times=int(LEASE) + 1)
    assert b.parts.held == frozenset(range(PARTS))
    assert {part for part, wait in b.store.taken_over.items() if wait == QUIET} == had
    # All else of theirs goes on at once.
    assert b.parts.working == b.store.working == frozenset(range(PARTS))
    await look(b, times=int(LEASE))
    # Whoever leads says that a node is gone, once, and when it is back.
    assert b.store.tasks == {"a": "D990"}
    assert b.events().count("node_lost") == 1
    await settle(a, b)
    assert b.store.tasks == {}
    assert "leases_lost" in a.events()
    assert len(a.parts.held) == PARTS // 2


async def test_two_of_one_name_are_told_of_until_there_is_one_again(table):
    a, b = Node(table, "oak/1"), Node(table, "oak/2")
    await settle(a)
    # One look of the second: this may be the first, started again.
    await look(b)
    assert b.store.tasks == {}
    await settle(a, b)
    assert a.store.tasks == {"oak/1": "D995"}
    assert b.store.tasks == {"oak/2": "D995"}
    assert a.events().count("node_namesake") == 1
    # They keep apart all the same.
    assert not a.parts.held & b.parts.held
    await look(a, times=int(2 * LEASE) + 3)
    assert a.store.tasks == {}


async def test_a_node_that_was_started_again_is_no_second_one(table):
    a = Node(table, "oak/1")
    await settle(a)
    again = Node(table, "oak/2")
    await look(again, times=int(2 * LEASE) + 3)
    assert again.store.tasks == {}
    assert "node_namesake" not in again.events()


async def test_whoever_leads_next_knows_that_a_node_is_back(table):
    a, b, c = (Node(table, name) for name in "abc")
    await settle(a)
    await settle(a, b, c)
    # c is gone long enough for whoever leads to say so, and back before the other leads.
    await look(a, b, times=int(2 * LEASE) + 2)
    assert a.store.tasks == {"c": "D990"}
    b.store.tasks = a.store.tasks
    await settle(b, c)
    await look(b, c, times=int(LEASE) + 2)
    assert b.parts.leads or c.parts.leads
    c.store.tasks = b.store.tasks
    await look(b, c)
    assert "c" not in b.store.tasks


async def test_who_cannot_renew_stops_by_its_own_clock_before_anybody_else_begins(table):
    a, b = Node(table, "a"), Node(table, "b")
    await settle(a)
    a.store.fails = True
    ended = taken = None
    for second in range(40):
        with pytest.raises(StoreError):
            await a.parts.look()
        await b.parts.look()
        if ended is None and not any(a.parts.may_send(patient) for patient in range(PARTS)):
            ended = second
        if taken is None and b.parts.held:
            taken = second
        table.now += 1
    assert ended < taken
    assert not a.parts.leads
    assert not a.parts.hold_parts([LEADING])


async def test_who_stops_gives_up_all_but_what_was_cut_off(table):
    a, b = Node(table, "a"), Node(table, "b")
    await a.parts.open()
    a.parts.in_hand = lambda: {7}
    await a.parts.close()
    assert a.parts.held == frozenset()
    assert not a.parts.may_send(1)
    await b.parts.look()
    assert b.parts.held == frozenset(range(PARTS)) - {7}
    assert set(b.store.taken_over.values()) == {0}
    assert b.parts.unheld == 1
    table.now += LEASE + 1
    await b.parts.look()
    assert 7 in b.parts.held
    assert b.store.taken_over[7] == QUIET


async def test_nothing_of_a_part_is_begun_before_what_was_being_sent_is_seen_to(table):
    a = Node(table, "a")
    renew = a.store.renew

    async def renewed(*values, **named):
        holding = await renew(*values, **named)
        a.store.fails = True
        return holding

    a.store.renew = renewed
    with pytest.raises(StoreError):
        await a.parts.look()
    assert (len(a.parts.held), a.parts.working, a.parts.may_send(1)) == (PARTS, frozenset(), False)
    a.store.renew, a.store.fails = renew, False
    await a.parts.look()
    assert len(a.parts.working) == PARTS


async def test_two_patients_of_a_merge_come_to_one_node(table):
    a, b = Node(table, "a"), Node(table, "b")
    await settle(a)
    await settle(a, b)
    ours, theirs = max(a.parts.held), max(b.parts.held)
    assert not await a.parts.hold_or_want([theirs], [ours])
    await settle(a, b)
    assert await a.parts.hold([ours, theirs])
    # It is not given back before it was of use, and all have their shares again in the end.
    await look(a, b, times=60)
    assert len(a.parts.held) == len(b.parts.held) == PARTS // 2


async def test_two_who_need_what_the_other_has_do_not_wait_for_ever(table):
    a, b = Node(table, "a"), Node(table, "b")
    await settle(a)
    await settle(a, b)
    pair = [max(a.parts.held), max(b.parts.held)]
    had = [False, False]
    for _ in range(200):
        for at, node in enumerate((a, b)):
            if not had[at]:
                had[at] = await node.parts.hold_or_want(pair, ())
        await look(a)
        table.now += 0.7
        await look(b)
    assert had == [True, True]


async def test_what_another_gives_up_is_taken_at_once(table):
    a, b = Node(table, "a"), Node(table, "b")
    await a.parts.open()
    woken = []
    b.parts.wake = lambda: woken.append(len(b.parts.held))
    await b.parts.open()
    assert woken == [0]
    await a.parts.close()
    # Another's work is no reason to look at the leases; that something was given up is.
    b.store.heard(False)
    await asyncio.sleep(0.01)
    assert woken == [0, 0]
    b.store.heard(True)
    await asyncio.sleep(0.01)
    assert woken[-1] == PARTS
    await b.parts.close()


async def test_it_renews_by_itself_and_goes_on_when_the_store_does_not(table):
    a = Node(table, "a")
    a.parts._every = 0.001
    await a.parts.open()
    a.store.fails = True
    await asyncio.sleep(0.02)
    assert "store_failed" in a.events()
    a.store.fails, table.now = False, 5.0
    await asyncio.sleep(0.02)
    assert min(a.parts._ends.values()) > LEASE
    await a.parts.close()
    assert table.nodes == {}
