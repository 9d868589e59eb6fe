"""What others read of the market: bars, closes, actions and coverage, as pandas frames.

What belongs here: queries over one market. What does not: judging a price's age or use; that is the
planner's, from the dates and labels that come along.

Sessions are `datetime.date`s in every frame (in `close_matrix`, its index). Prices are in the
instrument's currency, as the source gives them unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from scizor_dagster.instruments import Instrument
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.bar_store import delisted

if TYPE_CHECKING:
    import pandas as pd

LOOK_BACK = timedelta(days=90)
PriceKind = Literal["raw", "split", "total_return"]
_CLOSE_COLUMN = {"raw": "raw_close", "split": "split_close", "total_return": "total_return_close"}


def session_bars(lake: Lake, market: str, session: date) -> pd.DataFrame:
    """Good bars of one session, by symbol.

    Columns: symbol, session, open, high, low, close, volume, adjustment, synthetic, source.
    """
    with lake.read() as cursor:
        frame = cursor.execute(
            "SELECT symbol, session, open, high, low, close, volume, adjustment, synthetic, source FROM bars "
            "WHERE market = ? AND session = ? ORDER BY symbol",
            [market, session],
        ).df()
    return _dated(frame, "session")


def last_closes(lake: Lake, market: str, through: date) -> pd.DataFrame:
    """For each symbol its last stored bar on or before `through`, at most `LOOK_BACK` old.

    Columns: symbol, session, close, adjustment, synthetic, source. A symbol without such a bar is absent.
    """
    with lake.read() as cursor:
        frame = cursor.execute(
            "SELECT symbol, unnest(arg_max({session: session, close: close, adjustment: adjustment, "
            "synthetic: synthetic, source: source}, session)) FROM bars "
            "WHERE market = ? AND session BETWEEN ? AND ? GROUP BY symbol ORDER BY symbol",
            [market, through - LOOK_BACK, through],
        ).df()
    return _dated(frame, "session")


def close_matrix(
    lake: Lake, market: str, symbols: Sequence[str], first: date, last: date, kind: PriceKind = "raw"
) -> pd.DataFrame:
    """Closes as a matrix: a row for each session with any bar of the market, a column for each of `symbols`.

    NaN where there is no bar, or where the source does not give prices of this `kind` (a split-adjusted
    source has no raw ones). `split` and `total_return` need `rebuild_prices` to have run.
    """
    import pandas as pd

    table = "bars" if kind == "raw" else "prices"
    column = "CASE WHEN adjustment = 'raw' THEN close END" if kind == "raw" else _CLOSE_COLUMN[kind]
    with lake.read() as cursor:
        sessions = cursor.execute(
            "SELECT DISTINCT session FROM bars WHERE market = ? AND session BETWEEN ? AND ? ORDER BY session",
            [market, first, last],
        ).fetchall()
        frame = cursor.execute(
            f"SELECT symbol, session, {column} AS close FROM {table} "
            "WHERE market = ? AND session BETWEEN ? AND ? AND symbol IN (SELECT unnest(?))",
            [market, first, last, list(symbols)],
        ).df()
    matrix = frame.pivot(index="session", columns="symbol", values="close")
    days = [session for (session,) in sessions]
    matrix = matrix.reindex(index=pd.DatetimeIndex(days), columns=pd.Index(list(symbols), name="symbol"))
    matrix.index = pd.Index(days, name="session", dtype="object")
    return matrix.astype("float64")


def actions_on(lake: Lake, market: str, session: date) -> pd.DataFrame:
    """Corporate actions that take effect before the open of `session`.

    Columns: symbol, ex_session, kind, ratio, amount, currency, new_symbol.
    """
    with lake.read() as cursor:
        frame = cursor.execute(
            "SELECT symbol, ex_session, kind, ratio, amount, currency, new_symbol FROM corporate_actions "
            "WHERE market = ? AND ex_session = ? ORDER BY symbol, kind",
            [market, session],
        ).df()
    return _dated(frame, "ex_session")


def instruments(lake: Lake, market: str, as_of: date | None = None) -> tuple[Instrument, ...]:
    """The tracked universe. With `as_of`, an instrument delisted on or before it is not tradable."""
    with lake.read() as cursor:
        rows = cursor.execute(
            "SELECT symbol, mic, currency, coalesce(name, ''), lot, tick, fractionable, shortable, tradable "
            "FROM symbols WHERE market = ? ORDER BY symbol",
            [market],
        ).fetchall()
        gone = delisted(cursor, market, as_of) if as_of else set()
    return tuple(
        Instrument(
            symbol,
            mic,
            currency,
            name,
            lot,
            Decimal(tick).normalize(),
            fractionable,
            shortable,
            tradable and symbol not in gone,
        )
        for symbol, mic, currency, name, lot, tick, fractionable, shortable, tradable in rows
    )


def coverage(lake: Lake, market: str, session: date) -> tuple[int, int, tuple[str, ...]]:
    """How many of the universe have a good bar of `session`, how many should, and which do not.

    A symbol delisted on or before `session` should have none.
    """
    with lake.read() as cursor:
        tracked = cursor.execute("SELECT symbol FROM symbols WHERE market = ?", [market]).fetchall()
        bars = cursor.execute("SELECT symbol FROM bars WHERE market = ? AND session = ?", [market, session]).fetchall()
        gone = delisted(cursor, market, session)
    expected = {symbol for (symbol,) in tracked} - gone
    missing = expected - {symbol for (symbol,) in bars}
    return len(expected) - len(missing), len(expected), tuple(sorted(missing))


def _dated(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Turn a column of stamps into dates."""
    import pandas as pd

    frame[column] = pd.Series([stamp.date() for stamp in frame[column]], index=frame.index, dtype="object")
    return frame
