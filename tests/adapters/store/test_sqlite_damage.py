"""What is changed behind the store's back is found: in the accounts, in the log's chain, in the bodies."""

import apsw
import pytest
from store_cases import EVENT, T0, a_patient, a_reading, keep, keep_reading, take

from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState, MessageState
from mhbridge.ports import Move


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "mhbridge.db"


@pytest.fixture
async def store(path):
    store = SqliteStore(path)
    await store.open()
    yield store
    await store.close()


def spoil(path, *statements):
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement).fetchall()
        assert connection.changes() > 0, statement
    connection.close()


async def some_history(store):
    """Deliveries in several states, a parked message and a filtered one."""
    for number in range(1, 7):
        await keep(store, number, "gp", "acute", patient=number % 3)
    first, second, third, *_ = await take(store, T0)
    await store.finish([Move(first.id, DeliveryState.DONE, level=2)], T0)
    await store.finish([Move(second.id, DeliveryState.PARKED, code="D904")], T0)
    await store.finish([Move(third.id, DeliveryState.AWAITING, due_at=T0)], T0)
    await keep(store, 7, state=MessageState.PARKED)
    await keep(store, 8, state=MessageState.FILTERED)
    await keep(store, 1, "gp")
    await store.refuse("a/b", "M701", T0)


@pytest.mark.parametrize(
    ("statement", "checks"),
    [
        ("delete from envelope where id = (select min(id) from envelope)", {"C1"}),
        ("update tally set n = n - 1 where what = 'receipt' and state = 'received'", {"C1"}),
        ("update tally set n = n + 1 where what = 'receipt' and state = 'repeat'", {"C1"}),
        ("delete from tally where what = 'receipt' and state = 'refused'", {"C1"}),
        ("delete from message where state = 'filtered'", {"C2", "C4"}),
        ("update message set envelope = 1 where state = 'filtered'", {"C2"}),
        ("update message set state = 'closed' where state = 'parked'", {"C4", "C6"}),
        ("update message set state = 'stored' where state = 'filtered'", {"C4", "C5"}),
        ("update message set feed = 'a/b' where state = 'parked'", {"C4"}),
        ("delete from delivery where state = 'done'", {"C3", "C4"}),
        ("delete from delivery where state = 'queued'", {"C3", "C4", "C5"}),
        ("update delivery set message = 1 where state = 'done'", {"C3"}),
        ("update delivery set state = 'queued' where state = 'awaiting'", {"C4", "C5"}),
        ("update delivery set state = 'closed' where state = 'parked'", {"C4", "C5", "C6"}),
        ("update delivery set due_at = null where state = 'awaiting'", {"C5"}),
        ("update delivery set due_at = null where state = 'sending'", {"C5"}),
        ("update lane set next_at = null where next_at is not null", {"C5"}),
        ("update lane set next_at = next_at + 1 where next_at is not null", {"C5"}),
        ("update lane set depth = depth + 1", {"C5"}),
        ("delete from lane where held = 'parked'", {"C5"}),
        ("update lane set next_at = 0 where held = 'parked'", {"C5"}),
        ("update task set closed_at = 1 where what = 'message'", {"C6"}),
        ("update task set closed_at = 1 where what = 'delivery'", {"C6"}),
        ("update task set about = about + 1 where what = 'message'", {"C6"}),
        ("update task set what = 'feed' where what = 'delivery'", {"C6"}),
        ("delete from task", {"C6"}),
        ("update task set next_at = null", {"C5"}),
        ("update task set next_at = 0", {"C5"}),
    ],
)
async def test_each_conservation_check_finds_what_it_is_for(store, path, statement, checks):
    await some_history(store)
    assert (await store.status(T0)).differences == ()
    spoil(path, statement)
    assert {text[:2] for text in (await store.status(T0)).differences} == checks


@pytest.mark.parametrize(
    "statement",
    [
        "update log set moves = 'queued>done' where seq = 5",
        "update log set who = 'somebody' where seq = 5",
        "update log set at = at - 1 where seq = 5",
        "update log set about = about + 1 where seq = 5",
        "update log set mac = zeroblob(32) where seq = 5",
        "update log set mac = (select mac from log where seq = 4) where seq = 5",
        "delete from log where seq = 5",
        "delete from log where seq = 1",
        "delete from log where seq = (select max(seq) from log)",
        "delete from log",
    ],
)
async def test_a_changed_log_is_found(store, path, statement):
    await some_history(store)
    assert await store.verify_log() > 5
    spoil(path, statement)
    with pytest.raises(StoreError) as raised:
        await store.verify_log()
    assert raised.value.code == "S207"


async def test_the_first_missing_row_is_named(store, path):
    await some_history(store)
    spoil(path, "delete from log where seq in (5, 7)")
    with pytest.raises(StoreError) as raised:
        await store.verify_log()
    assert raised.value.message == "row 5 of the log is missing"


async def test_rows_that_changed_places_are_found(store, path):
    await some_history(store)
    spoil(
        path,
        "update log set seq = -1 where seq = 5",
        "update log set seq = 5 where seq = 6",
        "update log set seq = 6 where seq = -1",
    )
    with pytest.raises(StoreError) as raised:
        await store.verify_log()
    assert "row 5 " in raised.value.message


@pytest.mark.parametrize("checked", [1_000, 3])
async def test_a_store_with_a_changed_log_does_not_start(path, monkeypatch, checked):
    monkeypatch.setattr("mhbridge.adapters.sql.committing.CHECKED_AT_START", checked)
    store = SqliteStore(path)
    await store.open()
    await some_history(store)
    last = await store.verify_log()
    await store.close()
    spoil(path, f"update log set moves = 'nothing' where seq = {last - 1}")
    again = SqliteStore(path)
    with pytest.raises(StoreError) as raised:
        await again.open()
    assert raised.value.code == "S207"


async def test_the_log_goes_on_after_a_start(path):
    for opened in range(1, 4):
        store = SqliteStore(path)
        await store.open()
        await keep(store, opened, "gp")
        assert await store.verify_log() == opened
        await store.close()


DAMAGE = {
    "a byte changed": "update body set data = cast(x'00ff' || substr(data, 3) as blob) where id = {id}",
    "cut short": "update body set data = substr(data, 1, length(data) - 1) where id = {id}",
    "empty": "update body set data = x'' where id = {id}",
    "another body": "update body set data = (select data from body order by id limit 1) where id = {id}",
    "gone": "delete from body where id = {id}",
    "its document gone": "delete from document where id = {id}",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_a_damaged_document_is_parked_and_never_delivered(store, path, damage):
    done = await keep(store, 1, "gp")
    await keep(store, 2, "gp", patient=2)
    (document,) = (await store.trace(done.messages[0])).documents
    spoil(path, damage.format(id=document["id"]))
    (due,) = await store.due(T0, 10)
    assert due.document.identifier.endswith("2")
    assert await store.next_due() == T0
    (delivery,) = (await store.trace(done.messages[0])).deliveries
    assert (delivery["state"], delivery["code"], delivery["attempts"]) == ("parked", "S208", 0)
    status = await store.status(T0)
    assert (status.deliveries, status.differences) == ({"parked": 1, "queued": 1}, ())


async def test_what_was_being_sent_when_its_document_was_damaged_is_parked_when_it_is_due_again(store, path):
    done = await keep(store, 1, "gp")
    (due,) = await take(store, T0)
    spoil(path, "delete from body where id > 1")
    assert await store.due(T0, 10) == []
    assert (await store.status(T0)).deliveries == {"sending": 1}
    later = T0.replace(hour=10)
    assert await store.due(later, 10) == []
    (delivery,) = (await store.trace(done.messages[0])).deliveries
    assert (delivery["id"], delivery["state"], delivery["code"]) == (due.id, "parked", "S208")


async def test_a_damaged_original_is_not_shown(store, path):
    done = await keep(store, 1, "gp")
    (due,) = await store.due(T0, 1)
    spoil(path, DAMAGE["a byte changed"].format(id=done.envelope))
    with pytest.raises(StoreError) as raised:
        await store.original(done.messages[0])
    assert raised.value.code == "S208"
    with pytest.raises(StoreError) as raised:
        due.original()
    assert raised.value.code == "S208"


async def test_nothing_is_known_from_a_damaged_reading(store, path):
    await keep_reading(store, 1, a_reading({"n": 1}))
    spoil(path, "update reading set items = cast(items || ' ' as blob)")
    with pytest.raises(StoreError) as raised:
        await store.known(a_patient(), "V1", EVENT)
    assert raised.value.code == "S208"
