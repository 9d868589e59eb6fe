"""Client order ids: short, plain, and a function of the plan alone."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import InputError
from scizor_dagster.planning.client_order_ids import ClientOrderIds, IdParts, parse_id

DAY = date(2025, 8, 29)


def ids(prefix="SCZ", **changed):
    scope = {"account": "paper", "session": DAY, "portfolio": "main", "plan_id": "ab" * 32, "batch": 1}
    return ClientOrderIds(prefix, **(scope | changed))


def test_an_id_reads_as_prefix_session_batch_symbol_side_and_digest():
    head, _, tail = ids().make("AAPL", Side.BUY, 1, 1).rpartition("_")
    assert head == "SCZ_20250829_1_AAPL_B"
    assert len(tail) == 12


@given(
    st.text("ABCDEFGHIJ0123456789.-/ ", min_size=1, max_size=21),
    st.integers(1, 9999),
    st.sampled_from(list(Side)),
)
def test_an_id_is_at_most_48_plain_characters(symbol, batch, side):
    name = ids("ABCDEF", batch=batch).make(symbol, side, 2, 99)
    assert len(name) <= 48
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")


def test_as_much_of_a_long_symbol_is_in_its_id_as_there_is_room_for():
    assert ids().make("ABCDEFGHIJKLMNOPQRSTU", Side.BUY, 1, 1).startswith("SCZ_20250829_1_ABCDEFGHIJKLMNOPQR_B_")
    assert len(ids().make("ABCDEFGHIJKLMNOPQRSTU", Side.BUY, 1, 1)) == 48
    assert ids(max_length=31).make("ABC", Side.BUY, 1, 1).startswith("SCZ_20250829_1_A_B_")
    with pytest.raises(InputError, match="30 characters"):
        ids(max_length=30)


def test_long_symbols_with_one_beginning_have_different_ids():
    long = ids("ABCDEF", batch=100)
    assert long.make("ABCDEFGHIJKLMNOPQRSTU", Side.BUY, 1, 1) != long.make("ABCDEFGHIJKLMNOPQRSTV", Side.BUY, 1, 1)


@pytest.mark.parametrize(
    "changed",
    [
        {"account": "other"},
        {"session": date(2025, 9, 1)},
        {"portfolio": "other"},
        {"plan_id": "cd" * 32},
        {"batch": 2},
    ],
)
def test_whatever_the_order_is_of_changes_its_id(changed):
    assert ids(**changed).make("AAPL", Side.BUY, 1, 1) != ids().make("AAPL", Side.BUY, 1, 1)


def test_leg_slice_and_side_change_the_id():
    makes = [(Side.BUY, 1, 1), (Side.SELL, 1, 1), (Side.BUY, 2, 1), (Side.BUY, 1, 2)]
    assert len({ids().make("AAPL", *what) for what in makes}) == 4


def test_making_ids_in_another_order_changes_none():
    forth = ids()
    first = [forth.make(symbol, Side.BUY, 1, 1) for symbol in "ABC"]
    back = ids()
    assert [back.make(symbol, Side.BUY, 1, 1) for symbol in "CBA"] == first[::-1]


def test_a_broker_with_too_short_ids_is_refused():
    with pytest.raises(InputError, match="20 characters"):
        ids(max_length=20)


def test_what_an_id_says_of_its_order_is_read_from_it_again():
    made = ids("ABC", batch=12).make("BRK.B", Side.SELL, 2, 3)
    assert parse_id(made) == IdParts("ABC", DAY, 12)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "904837e3-3b76-47ec-b432-046db621571b",
        "SCZ_20250829_1_AAPL_B_3f9c02a41be",
        "SCZ_20250829_1_AAPL_B_3f9c02a41be7\n",
        "SCZ_20250230_1_AAPL_B_3f9c02a41be7",
        "SCZ_00000000_1_AAPL_B_3f9c02a41be7",
        "SCZ_20250829_\u0661_AAPL_B_3f9c02a41be7",
        f"SCZ_20250829_{'9' * 5000}_AAPL_B_3f9c02a41be7",
    ],
)
def test_an_id_that_no_plan_has_made_says_nothing(name):
    assert parse_id(name) is None
