"""Splits and delistings of what is held, exactly, and the tables of actions that the loop reads.

What belongs here: what happens to a book before the open of a session, in the order and with the rounding of
`paper_exchange.overnight`. What does not: dividends of sessions without a split or a delisting (`engine_loop`).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import TYPE_CHECKING, Any

from scizor_dagster.backtest.engine_loop import average_of
from scizor_dagster.backtest.engine_model import DELISTINGS, DIVIDENDS, Account, Book, Output
from scizor_dagster.backtest.model import Action, ActionKind
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import Instrument, split_quantity
from scizor_dagster.planning.columns import count_of, quantity_of
from scizor_dagster.planning.kernel_model import UNIT
from scizor_dagster.planning.quantities import EXACT

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ORDER = {ActionKind.SPLIT: 0, ActionKind.DIVIDEND: 1, ActionKind.DELISTING: 2}
_CENT = Decimal("0.01")
_DIGITS = 10
"""Most decimals of a dividend that whole numbers carry; what has more is noise of a conversion."""
_LARGEST = 10**15


def apply_actions(
    actions: Sequence[Action], instruments: Sequence[Instrument], book: Book, now: Account, out: Output
) -> None:
    """Apply the actions of one morning: splits, then dividends, then delistings."""
    with localcontext(EXACT):
        for action in sorted(actions, key=lambda one: _ORDER[one.kind]):
            place, value = action.column, _exact(action.value)
            held = quantity_of(int(book.count[place]))
            if action.kind is ActionKind.SPLIT:
                _split(book, place, held, value, now.row, instruments[place])
            elif action.kind is ActionKind.DIVIDEND:
                _pay(now, out, DIVIDENDS, held * value)
            elif held:
                last = _exact(float(book.last[place])) if value.is_nan() else value
                _pay(now, out, DELISTINGS, held * last)
                book.count[place], book.held[place] = 0, 0.0
            if action.kind is ActionKind.DELISTING:
                book.planned[place] = book.sale[place] = 0
                book.changed[place] = now.row


def _split(book: Book, place: int, held: Decimal, ratio: Decimal, row: int, instrument: Instrument) -> None:
    count = count_of(split_quantity(held, ratio))
    if count is None:
        raise InputError(
            f"The split of {instrument.symbol}, {ratio} for 1, leaves more shares than an array holds.",
            remedy="Check its ratio.",
        )
    book.count[place], book.held[place] = count, count / UNIT
    # Orders in old units end.
    book.planned[place] = book.sale[place] = 0
    book.changed[place] = row
    book.last[place] /= float(ratio)
    book.before[place] = round(book.before[place] / float(ratio), 6)
    # Without a rule that reads averages there are no rows.
    for volumes in (book.window[:, place : place + 1], book.ordered[:, place : place + 1]):
        volumes *= float(ratio)
    if len(book.average):
        book.average[place] = average_of(book.ordered, place, int(book.known[place]))


def _pay(now: Account, out: Output, column: int, amount: Decimal) -> None:
    paid = float(amount.quantize(_CENT, ROUND_HALF_EVEN))
    out.income[now.row, column] += paid
    now.cash += paid


def tables_of(actions: Sequence[Action], sessions: int) -> dict[str, NDArray[Any]]:
    """Actions as the fields of `Market` that the loop reads."""
    import numpy as np

    exact = np.zeros(sessions, dtype=np.bool_)
    exact[[action.row for action in actions if action.kind is not ActionKind.DIVIDEND]] = True
    paid = [action for action in actions if action.kind is ActionKind.DIVIDEND]
    splits = [action for action in actions if action.kind is not ActionKind.DIVIDEND]
    whole = [_whole(action.value) for action in paid]
    return {
        "exact": exact,
        "paid_from": _starts(paid, sessions),
        "paid_column": np.array([action.column for action in paid], dtype=np.int64),
        "paid_amount": np.array([action.value for action in paid], dtype=np.float64),
        "paid_digits": np.array([digits for digits, _ in whole], dtype=np.int64),
        "paid_half": np.array([half for _, half in whole], dtype=np.int64),
        "split_from": _starts(splits, sessions),
        "split_column": np.array([action.column for action in splits], dtype=np.int64),
    }


def _starts(actions: Sequence[Action], sessions: int) -> NDArray[Any]:
    import numpy as np

    counted = np.bincount([action.row for action in actions], minlength=sessions) if actions else np.zeros(sessions)
    return np.concatenate([[0], np.cumsum(counted)]).astype(np.int64)


def _whole(amount: float) -> tuple[int, int]:
    """An amount as a whole number, and half a cent in its units times `UNIT`; zeros where that is not possible.

    With d decimals, shares x amount > (n + 1/2) cents is the same as units x digits > (2 n + 1) x half.
    """
    exact = _exact(amount)
    exponent = exact.as_tuple().exponent
    assert isinstance(exponent, int)
    decimals = max(-exponent, 3)
    digits = int(exact.scaleb(decimals))
    if decimals > _DIGITS or digits > _LARGEST:
        return 0, 0
    return digits, 5 * 10 ** (decimals - 3) * UNIT


def _exact(value: float) -> Decimal:
    return Decimal(repr(float(value)))
