"""Which numbers of a sender's counting have not come: a table of what comes, and of what is then open."""

from datetime import UTC, datetime, timedelta

import pytest

from mhbridge.gateway.silence.numbers import Numbers
from mhbridge.ports import OPEN_ENDED

T0 = datetime(2026, 3, 3, 9, tzinfo=UTC)
FEED = "s/mllp"
#: Enough to see that it counts.
COUNTED = [f"MSG{n}" for n in range(1, 121)]


def heard(ids, sequences=(), gaps=()):
    numbers = Numbers(FEED, gaps)
    for at, control_id in enumerate(ids):
        numbers.heard(T0 + timedelta(seconds=at), control_id)
    for at, sequence in enumerate(sequences):
        numbers.heard(T0 + timedelta(seconds=at), f"x{at * 7}", sequence)
    return numbers


def ranges(numbers):
    return sorted((gap.first, gap.last) for gap in numbers.open())


#: name → (control ids behind those that count, what is open then).
CASES = {
    "nothing is missing": (["MSG121", "MSG122"], []),
    "one is missing": (["MSG122"], [(121, 121)]),
    "many are missing": (["MSG1121"], [(121, 1120)]),
    "two gaps": (["MSG122", "MSG125"], [(121, 121), (123, 124)]),
    "it comes late": (["MSG122", "MSG121"], []),
    "the first of several comes late": (["MSG125", "MSG121"], [(122, 124)]),
    "the last of several comes late": (["MSG125", "MSG124"], [(121, 123)]),
    "one in the middle comes late": (["MSG125", "MSG122"], [(121, 121), (123, 124)]),
    "one comes again": (["MSG122", "MSG100"], [(121, 121)]),
    "another prefix counts by itself": (["MSG122", "OTHER7", "OTHER9"], [(121, 121)]),
    "without a number": (["MSG122", "MSG", ""], [(121, 121)]),
    "with too many digits": (["MSG122", "MSG" + "9" * 19], [(121, 121)]),
}


@pytest.mark.parametrize("name", CASES)
def test_what_has_not_come_is_open(name):
    ids, expected = CASES[name]
    assert ranges(heard(COUNTED + ids)) == expected


#: name → control ids that count nothing, though they end in digits.
UNCOUNTED = {
    "random": [f"A{(n * 7919) % 10007}" for n in range(600)],
    "stamps": [f"2026030309{n:02}{(n * 37) % 60:02}" for n in range(59)] * 4,
    "a prefix each": [f"R{n}-{n + 1}" for n in range(600)],
    "too few": [f"MSG{n}" for n in range(1, 90)] + ["MSG200"],
    "one in ten is left out": [f"MSG{n}" for n in range(1200) if n % 10],
    "by twos": [f"MSG{n}" for n in range(0, 1200, 2)],
}


@pytest.mark.parametrize("name", UNCOUNTED)
def test_what_does_not_count_has_no_gaps(name):
    numbers = heard(UNCOUNTED[name])
    assert ranges(numbers) == []
    assert numbers.kept(T0) == []


def test_a_counting_that_begins_again_has_no_gap_and_what_was_missing_still_is():
    ids = [f"MSG{n}" for n in range(5_000, 5_200)]
    numbers = heard([*ids, "MSG5201", "MSG1", "MSG2", "MSG4", "MSG5200"])
    # What is far above is a gap again: nobody knows better.
    assert ranges(numbers) == [(3, 3), (5, 5199), (5200, 5200)]
    assert ranges(heard([*ids, "MSG5201", "MSG1", "MSG2"])) == [(5200, 5200)]


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [
        (["1", "2", "3"], []),
        (["1", "2", "5"], [(3, 4)]),
        (["500", "502", "0", "1"], [(501, 501)]),
        (["7", "x", "-1", "8"], []),
    ],
)
def test_a_sender_that_says_that_it_counts_is_believed_at_once(sequences, expected):
    assert ranges(heard([], sequences)) == expected


@pytest.mark.parametrize("sequences", [[(n * 7919) % 10007 + 2 for n in range(800)], range(0, 800, 2), [5] * 800])
def test_a_sender_that_says_that_it_counts_and_does_not_is_not_believed_for_long(sequences):
    assert ranges(heard([], [str(n) for n in sequences])) == []


def test_a_sender_that_leaves_out_one_in_fifty_counts_for_others_too():
    assert ranges(heard([f"MSG{n}" for n in range(10_000) if n % 50])) == []
    assert len(ranges(heard([f"MSG{n}" for n in range(1_000) if n % 50]))) > 5


def test_a_start_forgets_neither_gaps_nor_where_the_counting_was():
    kept = heard([*COUNTED, "MSG122"]).kept(T0)
    assert [(gap.first, gap.last) for gap in kept] == [(121, 121), (123, OPEN_ENDED)]
    assert ranges(heard(["MSG125"], gaps=kept)) == [(121, 121), (123, 124)]
    assert ranges(heard(["MSG121", "MSG123"], gaps=kept)) == []


def test_what_is_kept_holds_nothing_of_a_control_id():
    kept = heard([*COUNTED, "MSG122"]).kept(T0)
    assert all("MSG" not in gap.series and len(gap.series) == 16 for gap in kept)


def test_what_came_elsewhere_is_found_by_what_it_would_be_called():
    ids = [f"MSG{n:06}" for n in range(1, 121)]
    numbers = heard([*ids, "MSG000123"])
    (gap,) = numbers.open()
    assert list(numbers.written(gap, 500)) == [
        (121, "MSG121"), (121, "MSG000121"), (122, "MSG122"), (122, "MSG000122"),
    ]  # fmt: skip
    numbers.fill(gap, [122])
    assert ranges(numbers) == [(121, 121)]


def test_what_people_know_of_is_marked_and_what_is_old_is_forgotten():
    numbers = heard([*COUNTED, "MSG122", "MSG125"])
    numbers.told(numbers.open())
    assert all(gap.told for gap in numbers.open())
    numbers.forget(T0 + timedelta(seconds=121))
    assert ranges(numbers) == [(123, 124)]


def test_memory_is_bounded_whatever_is_counted():
    numbers = heard([f"{'abcdefghij'[n % 10]}{n}X{n}" for n in range(2_000)])
    assert len(numbers._series) <= 16
    numbers = heard([], [str(n) for n in range(0, 80, 2)])
    assert len(numbers.open()) == 39
    restarts = [str(n + 5_000 * (n % 2)) for n in range(6_000)]
    assert len(heard([], restarts).open()) <= 1_050
