"""The fields of a `placeOrder`, of whatever order: some of them bring others with them.

What belongs here: which field brings how many others, and where they stand. What does not: what an order
may have (`tickets`), and the fields of a plain one (`order_layouts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from scizor_dagster.paper_exchange.tws_door.order_layouts import PLACE_ORDER, UNSET_DOUBLE

_CONDITION_FIELDS = {"1": 7, "3": 4, "4": 4, "5": 5, "6": 6, "7": 6}
"""Fields of a condition by its kind: price, time, margin, execution, volume, change in percent."""
_PEGGED = {"PEG BEST": (2, 4), "PEG MID": (2,)}
_COMBINATION_FIELDS = (8, 1, 2)
"""Fields of a leg, of a leg's price, of a routing parameter."""
ALGO_PARAMETERS = "algoParams"
"""Where tags and values of an algorithm stand, one after the other, with NUL between them."""
SEPARATOR = "\0"

_Values = dict[str, str]


def read_order(fields: Sequence[str]) -> Mapping[str, str] | None:
    """The fields of a `placeOrder` by name; what belongs to combinations, conditions and the like is passed over.

    Returns:
        None where the fields do not add up to an order.
    """
    rest = iter(fields)
    values: _Values = {}
    try:
        for name in PLACE_ORDER:
            values[name] = next(rest)
            brought = _BROUGHT.get(name)
            if brought is not None:
                brought(values, rest)
    except (StopIteration, ValueError, KeyError):
        return None
    return values if len(list(rest)) in _lengths_of_the_end(values) else None


def _take(rest: Iterator[str], count: int) -> list[str]:
    return [next(rest) for _ in range(count)]


def _combination(values: _Values, rest: Iterator[str]) -> None:
    if values["secType"] == "BAG":
        for width in _COMBINATION_FIELDS:
            _take(rest, int(next(rest)) * width)


def _delta_neutral(values: _Values, rest: Iterator[str]) -> None:
    if values["deltaNeutralOrderType"]:
        _take(rest, 8)


def _scale(values: _Values, rest: Iterator[str]) -> None:
    if is_set(values["scalePriceIncrement"]):
        _take(rest, 7)


def _hedge(values: _Values, rest: Iterator[str]) -> None:
    if values["hedgeType"]:
        _take(rest, 1)


def _delta_neutral_contract(values: _Values, rest: Iterator[str]) -> None:
    if values["deltaNeutralContract"] == "1":
        _take(rest, 3)


def _algorithm(values: _Values, rest: Iterator[str]) -> None:
    if values["algoStrategy"]:
        values[ALGO_PARAMETERS] = SEPARATOR.join(_take(rest, 2 * int(next(rest))))


def _pegged_to_benchmark(values: _Values, rest: Iterator[str]) -> None:
    if values["orderType"] == "PEG BENCH":
        _take(rest, 5)


def _conditions(values: _Values, rest: Iterator[str]) -> None:
    count = int(values["conditions"] or 0)
    for _ in range(count):
        _take(rest, _CONDITION_FIELDS[next(rest)] - 1)
    if count:
        _take(rest, 2)


_BROUGHT: dict[str, Callable[[_Values, Iterator[str]], None]] = {
    "hidden": _combination,
    "deltaNeutralAuxPrice": _delta_neutral,
    "scalePriceIncrement": _scale,
    "hedgeType": _hedge,
    "deltaNeutralContract": _delta_neutral_contract,
    "algoStrategy": _algorithm,
    "randomizePrice": _pegged_to_benchmark,
    "conditions": _conditions,
}


def _lengths_of_the_end(values: _Values) -> set[int]:
    """How many fields may follow the last one that every order has."""
    own = 1 if values["exchange"] == "IBKRATS" else 0
    return {own + more for more in _PEGGED.get(values["orderType"], (0,))}


def is_set(text: str) -> bool:
    """Whether a number says anything: above zero, and not the value that stands for none."""
    if text in ("", UNSET_DOUBLE):
        return False
    try:
        return Decimal(text) > 0
    except InvalidOperation:
        return True
