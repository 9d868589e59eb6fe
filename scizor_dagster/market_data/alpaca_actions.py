"""Alpaca's corporate actions in our kinds: which types are asked for, and what each of them is here.

What belongs here: one page's lists to rows of `provider.ACTION_COLUMNS`. What does not: asking (`alpaca`), what an
action does to prices (`factors`, `jumps`).

Shares that a holder gets of the same company are a split, those of another one a `spin_off`. A company that is bought
for cash or for another one's shares, redeemed or worthless is a `delisting`: it does not trade from that day on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any

from scizor_dagster.brokers.alpaca.rows import Unreadable, decimal, text

CURRENCY = "USD"
TYPES = (
    *("cash_dividend", "stock_dividend", "forward_split", "reverse_split", "unit_split", "spin_off"),
    *("rights_distribution", "cash_merger", "stock_merger", "stock_and_cash_merger", "redemption"),
    *("worthless_removal", "name_change"),
)
_MERGERS = ("cash_mergers", "stock_mergers", "stock_and_cash_mergers")
Row = tuple[Any, ...]


def action_rows(listed: Mapping[str, Any], asked: Collection[str]) -> Iterator[Row]:
    """Rows of one page's lists, by type.

    An answer for a symbol names it as the buyer, the new share or the successor, too: but for renames, only rows of
    the symbols that were asked for are given.

    Raises:
        Unreadable: a row lacks what its type has.
    """
    for found in (*_splits(listed), *_payments(listed), *_endings(listed)):
        if found[0] in asked:
            yield found
    for row in _of(listed, "name_changes"):
        yield (text(row, "old_symbol"), _day(row, "process_date"), "rename", None, None, None, text(row, "new_symbol"))


def _splits(listed: Mapping[str, Any]) -> Iterator[Row]:
    for kind in ("forward_splits", "reverse_splits"):
        for row in _of(listed, kind):
            yield _split(text(row, "symbol"), _day(row, "ex_date"), decimal(row, "new_rate") / decimal(row, "old_rate"))
    for row in _of(listed, "stock_dividends"):
        # The rate is what comes to the share that is held.
        yield _split(text(row, "symbol"), _day(row, "ex_date"), 1 + decimal(row, "rate"))
    for row in _of(listed, "unit_splits"):
        old, day = text(row, "old_symbol"), _day(row, "effective_date")
        if old == text(row, "new_symbol"):
            yield _split(old, day, decimal(row, "new_rate") / decimal(row, "old_rate"))
        else:
            # A unit of shares and warrants falls apart into them: none of them is what the unit was.
            yield _gone(old, day)


def _payments(listed: Mapping[str, Any]) -> Iterator[Row]:
    for row in _of(listed, "cash_dividends"):
        amount = float(decimal(row, "rate"))
        yield (text(row, "symbol"), _day(row, "ex_date"), "dividend", None, amount, CURRENCY, None)
    for row in _of(listed, "spin_offs"):
        ratio = float(decimal(row, "new_rate") / decimal(row, "source_rate"))
        new = text(row, "new_symbol")
        yield (text(row, "source_symbol"), _day(row, "ex_date"), "spin_off", ratio, None, None, new)
    for row in _of(listed, "rights_distributions"):
        ratio, new = float(decimal(row, "rate")), text(row, "new_symbol")
        yield (text(row, "source_symbol"), _day(row, "ex_date"), "rights", ratio, None, None, new)


def _endings(listed: Mapping[str, Any]) -> Iterator[Row]:
    for kind in _MERGERS:
        for row in _of(listed, kind):
            bought, day = text(row, "acquiree_symbol"), _day(row, "effective_date")
            if bought != row.get("acquirer_symbol"):
                yield _gone(bought, day)
            elif (ratio := decimal(row, "acquirer_rate") / decimal(row, "acquiree_rate")) != 1:
                yield _split(bought, day, ratio)
    for kind in ("redemptions", "worthless_removals"):
        for row in _of(listed, kind):
            yield _gone(text(row, "symbol"), _day(row, "process_date"))


def _split(symbol: str, day: date, ratio: Any) -> Row:
    return (symbol, day, "split", float(ratio), None, None, None)


def _gone(symbol: str, day: date) -> Row:
    return (symbol, day, "delisting", None, None, None, None)


def _of(listed: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    for row in listed.get(kind) or ():
        if not isinstance(row, Mapping):
            raise Unreadable(f"one of {kind} is {row!r}")
        yield row


def _day(row: Mapping[str, Any], name: str) -> date:
    return date.fromisoformat(text(row, name))
