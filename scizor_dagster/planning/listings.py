"""What a price file says of its instruments besides their prices.

What belongs here: the optional columns that make an `Instrument`, and their checks. What does not: prices and
the facts that rules ask for (`files`), and the universe files of the configuration (`market_data.universe`).
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from itertools import repeat

from scizor_dagster.exchanges import currency_of
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.table_files import SMALLEST_PRICE, Cell, Table

NO_MARKET = "XXXX"
"""ISO 10383's code for "no market": a file need not say where a ticker is listed."""
LISTING_COLUMNS = ("mic", "tradable", "fractionable", "shortable", "lot", "tick")
LARGEST_LOT = 1_000_000


def read_listings(
    table: Table, names: Iterable[Cell], prices: Iterable[Decimal], currency: str
) -> dict[str, Instrument]:
    """Instruments by symbol; what a column is missing for, or a cell is empty in, is as `Instrument` has it.

    Args:
        table: The price file.
        names: Its tickers, row by row.
        prices: Its prices, row by row.
        currency: Of the prices, and of the plan.

    Raises:
        InputError: a code that is no market's, a word for yes or no, a lot or a step that can be none, or an
            exchange that does not trade in `currency`.
    """
    columns = [table.cells(name) if name in table.columns else repeat(None) for name in LISTING_COLUMNS]
    found: dict[str, Instrument] = {}
    for name, price, mic, tradable, fractionable, shortable, lot, tick in zip(names, prices, *columns, strict=False):
        plain = Instrument(name.symbol(), _mic(mic, currency), currency)
        found[plain.symbol] = Instrument(
            plain.symbol,
            plain.mic,
            currency,
            lot=_lot(lot, plain.lot),
            tick=_tick(tick, plain.tick, price),
            fractionable=_flag(fractionable, plain.fractionable),
            shortable=_flag(shortable, plain.shortable),
            tradable=_flag(tradable, plain.tradable),
        )
    return found


def _mic(cell: Cell | None, currency: str) -> str:
    if cell is None or cell.unknown:
        return NO_MARKET
    code = cell.text
    if not (len(code) == 4 and code.isascii() and code.isalnum() and code.isupper()):
        raise cell.fail("not a market identifier code", "Write four capitals or digits, such as XNAS or XASX.")
    traded_in = currency_of(code)
    if traded_in not in (None, currency):
        raise cell.fail(
            f"it trades in {traded_in}, and the plan is in {currency}",
            f"Plan its instruments with --currency {traded_in}, or correct the code.",
        )
    return code


def _flag(cell: Cell | None, default: bool) -> bool:
    return default if cell is None or cell.unknown else cell.flag()


def _lot(cell: Cell | None, default: int) -> int:
    if cell is None or cell.unknown:
        return default
    lot = cell.number()
    if lot % 1 != 0 or not 1 <= lot <= LARGEST_LOT:
        raise cell.fail("not a lot", f"Write a whole number from 1 to {LARGEST_LOT}, or leave the cell empty.")
    return int(lot)


def _tick(cell: Cell | None, default: Decimal, price: Decimal) -> Decimal:
    if cell is None or cell.unknown:
        return default
    tick = cell.number()
    if not SMALLEST_PRICE <= tick <= price:
        raise cell.fail(
            f"not a price step of what costs {price:f}", "Write a number above zero, or leave the cell empty."
        )
    return tick
