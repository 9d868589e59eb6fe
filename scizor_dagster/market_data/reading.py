"""What others read of the market: bars, closes, actions and coverage, as pandas frames.

What belongs here: queries over one market. What does not: judging a price's age or use; that is the
planner's, from the dates and labels that come along.

Sessions are `datetime.date`s in every frame (in `close_matrix`, its index). Prices are in the
instrument's currency, as the source gives them unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from scizor_dagster.errors import DataError, SnapshotGone
from scizor_dagster.instruments import Instrument
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.adjustment import BELIEVED, VIEW
from scizor_dagster.market_data.bar_store import delisted
from scizor_dagster.market_data.way_out import again_command

if TYPE_CHECKING:
    import pandas as pd

LOOK_BACK = timedelta(days=90)
NO_SESSION = ("unknown_symbol", "not_a_session", "copied_holiday", "in_the_future", "session_not_closed")
"""Reasons that say nothing against the instrument's price: the bar is of no session that has traded."""
MAX_MISSING_SHARE = 0.1
ALWAYS_TOLERATED = 2
PriceKind = Literal["raw", "split", "total_return"]
_DAYS_AT_ONCE = 126
_SPLITS = (
    f"SELECT symbol, ex_session, ratio FROM {whole('corporate_actions')} "
    "WHERE market = ? AND ex_session BETWEEN ? AND ? AND kind = 'split' AND ratio > 0 ORDER BY symbol, ex_session"
)
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


def prices(
    lake: Lake, market: str, symbols: Sequence[str], first: date, last: date, as_of: int | datetime | None = None
) -> pd.DataFrame:
    """Raw, split-adjusted and total-return prices side by side, as now or as they were known then.

    `as_of` is a snapshot of the lake (a plan states its own) or an instant: actions, corrections and restatements
    that came later are not in the answer. Any other reader is asked the same way, with `lake.at(as_of)` in the
    lake's place. An instant whose snapshot is gone is answered from the revisions of the bars: the columns that the
    source gave are there, those that need factors are NULL.

    Columns: those of the view `prices`, by symbol and session.

    Raises:
        SnapshotGone: `as_of` is the number of a snapshot that is not there, or not any more.
    """
    chosen = "market = $market AND session BETWEEN $first AND $last AND symbol IN (SELECT unnest($symbols))"
    asked = {"market": market, "first": first, "last": last, "symbols": list(symbols)}

    def ask(source: Lake, query: str, **more: object) -> pd.DataFrame:
        with source.read() as cursor:
            ordered = f"SELECT * FROM ({query}) WHERE {chosen} ORDER BY symbol, session"
            return _dated(cursor.execute(ordered, asked | more).df(), "session")

    if as_of is None:
        return ask(lake, VIEW)
    try:
        with lake.at(as_of) as then:
            return ask(then, VIEW)
    except SnapshotGone:
        if isinstance(as_of, int):
            raise
        return ask(lake, BELIEVED, as_of=as_of)


def last_closes(lake: Lake, market: str, through: date) -> pd.DataFrame:
    """For each symbol its last stored bar on or before `through`, at most `LOOK_BACK` old.

    A raw close from before a split is divided by its ratio: it is in the units that trade on `through`.

    Columns: symbol, session, close, adjustment, synthetic, source. A symbol without such a bar is absent.
    """
    window = [market, through - LOOK_BACK, through]
    with lake.read() as cursor:
        frame = cursor.execute(
            "SELECT symbol, unnest(arg_max({session: session, close: close, adjustment: adjustment, "
            "synthetic: synthetic, source: source}, session)) FROM bars "
            "WHERE market = ? AND session BETWEEN ? AND ? GROUP BY symbol ORDER BY symbol",
            window,
        ).df()
        splits = cursor.execute(_SPLITS, window).fetchall()
    return _in_units_of(_dated(frame, "session"), splits, through)


def last_closes_of_each(lake: Lake, market: str, days: Sequence[date]) -> Iterator[tuple[date, pd.DataFrame]]:
    """`last_closes` through each of `days`, which ascend: one question for many, in place of one for each."""
    import pandas as pd

    for start in range(0, len(days), _DAYS_AT_ONCE):
        some = days[start : start + _DAYS_AT_ONCE]
        window = [market, some[0] - LOOK_BACK, some[-1]]
        with lake.read() as cursor:
            bars = cursor.execute(
                "SELECT symbol, session, close, adjustment, synthetic, source FROM bars "
                "WHERE market = ? AND session BETWEEN ? AND ? ORDER BY session",
                window,
            ).df()
            splits = cursor.execute(_SPLITS, window).fetchall()
        for day in some:
            seen = bars[bars["session"].between(pd.Timestamp(day - LOOK_BACK), pd.Timestamp(day))]
            newest = seen.drop_duplicates("symbol", keep="last").sort_values("symbol", ignore_index=True)
            yield day, _in_units_of(_dated(newest, "session"), splits, day)


def _in_units_of(closes: pd.DataFrame, splits: Sequence[tuple[str, date, float]], through: date) -> pd.DataFrame:
    """Divide raw closes by the ratios of later splits up to `through`."""
    for symbol, ex_session, ratio in splits:
        if through - LOOK_BACK <= ex_session <= through:
            older = (closes["symbol"] == symbol) & (closes["session"] < ex_session) & (closes["adjustment"] == "raw")
            closes.loc[older, "close"] /= ratio
    return closes


def close_matrix(
    lake: Lake, market: str, symbols: Sequence[str], first: date, last: date, kind: PriceKind = "raw"
) -> pd.DataFrame:
    """Closes as a matrix: a row for each session in which any of `symbols` has a bar, a column for each of them.

    NaN where there is no bar, or where the source does not give prices of this `kind` (a split-adjusted
    source has no raw ones). `split` and `total_return` need `rebuild_prices` to have run.

    Raises:
        DataError: a symbol has several bars of one session.
    """
    import numpy as np
    import pandas as pd

    table = "bars" if kind == "raw" else "prices"
    column = "CASE WHEN adjustment = 'raw' THEN close END" if kind == "raw" else _CLOSE_COLUMN[kind]
    with lake.read() as cursor:
        found = cursor.execute(
            f"SELECT place, session, {column} AS close FROM {table} "
            "JOIN (SELECT unnest($symbols) AS symbol, unnest(range(len($symbols))) AS place) USING (symbol) "
            "WHERE market = $market AND session BETWEEN $first AND $last AND symbol BETWEEN $lowest AND $highest",
            {
                "symbols": list(symbols),
                "market": market,
                "first": first,
                "last": last,
                "lowest": min(symbols, default=""),
                "highest": max(symbols, default=""),
            },
        ).fetchnumpy()
    days, rows = np.unique(np.asarray(found["session"], dtype="datetime64[D]"), return_inverse=True)
    taken = np.bincount(rows * len(symbols) + found["place"], minlength=1)
    if taken.max() > 1:
        day, place = divmod(int(taken.argmax()), len(symbols))
        raise _repeated(lake, market, symbols[place], days[day], int(taken.max()))
    closes = np.full((len(days), len(symbols)), np.nan)
    closes[rows, found["place"]] = np.ma.filled(found["close"], np.nan)
    index = pd.Index(days.astype(object), name="session", dtype="object")
    return pd.DataFrame(closes, index=index, columns=pd.Index(list(symbols), name="symbol"))


def _repeated(lake: Lake, market: str, symbol: str, session: object, times: int) -> DataError:
    with lake.read() as cursor:
        found = cursor.execute("SELECT adjustment FROM bars WHERE market = ? AND symbol = ? LIMIT 1", [market, symbol])
        row = found.fetchone()
    assert row is not None
    return DataError(
        f"The lake holds {times} bars of {symbol} in session {session}.",
        remedy=f"Collect its series anew: {again_command(market, row[0], symbol)}.",
        where="bars",
    )


def pending_actions(lake: Lake, market: str, priced_on: date, session: date) -> pd.DataFrame:
    """Splits, renames and delistings that take effect after a symbol's last close and up to `session`.

    Such a close is in other units, or of another name, than what trades in `session`. Splits that the
    prices know already are left out.

    Columns: symbol, ex_session, kind.
    """
    with lake.read() as cursor:
        frame = cursor.execute(
            "WITH last AS (SELECT symbol, max(session) AS session, arg_max(adjustment, session) AS adjustment "
            "FROM bars WHERE market = $market AND session BETWEEN $oldest AND $priced_on GROUP BY symbol) "
            f"SELECT a.symbol, a.ex_session, a.kind FROM {whole('corporate_actions', 'a')} "
            "LEFT JOIN last USING (symbol) "
            "WHERE a.market = $market AND a.kind <> 'dividend' AND a.ex_session <= $session "
            "AND a.ex_session > coalesce(last.session, $oldest) "
            "AND NOT (a.kind = 'split' AND coalesce(last.adjustment, 'raw') <> 'raw') ORDER BY a.symbol, a.ex_session",
            {"market": market, "oldest": priced_on - LOOK_BACK, "priced_on": priced_on, "session": session},
        ).df()
    return _dated(frame, "ex_session")


def splits_between(lake: Lake, market: str, first: date, last: date) -> list[tuple[str, date, float]]:
    """Listed splits with an ex session from `first` to `last`: symbol, ex session, new shares per old share."""
    with lake.read() as cursor:
        return cursor.execute(_SPLITS, [market, first, last]).fetchall()


def quarantined_since(lake: Lake, market: str, through: date) -> pd.DataFrame:
    """For each symbol its newest quarantined bar up to `through`, where it has no good bar of that session or after.

    Columns: symbol, session, reason, detail.
    """
    with lake.read() as cursor:
        frame = cursor.execute(
            "WITH last AS (SELECT symbol, max(session) AS session FROM bars "
            "WHERE market = $market AND session BETWEEN $oldest AND $through GROUP BY symbol) "
            f"SELECT q.symbol, q.session, q.reason, q.detail FROM {whole('quarantined_bars', 'q')} "
            "LEFT JOIN last USING (symbol) "
            "WHERE q.market = $market AND q.session BETWEEN $oldest AND $through "
            "AND q.session > coalesce(last.session, $oldest) AND q.reason NOT IN (SELECT unnest($apart)) "
            "QUALIFY row_number() OVER (PARTITION BY q.symbol ORDER BY q.session DESC, q.reason) = 1 "
            "ORDER BY q.symbol",
            {"market": market, "oldest": through - LOOK_BACK, "through": through, "apart": list(NO_SESSION)},
        ).df()
    return _dated(frame, "session")


def unscheduled_days(lake: Lake, market: str, first: date, last: date) -> dict[date, int]:
    """Days from `first` to `last` that are no sessions of the calendar and yet have bars: the number of symbols.

    A bar that only says again what the instrument's last session said is a fault of the source, and is not counted.
    """
    with lake.read() as cursor:
        found = cursor.execute(
            f"WITH odd AS (SELECT symbol, session, close, volume FROM {whole('quarantined_bars')} "
            "WHERE market = $market AND session BETWEEN $first AND $last AND reason = 'not_a_session') "
            "SELECT odd.session, count(DISTINCT odd.symbol) FROM odd ASOF LEFT JOIN (SELECT symbol, session, close, "
            "volume FROM bars WHERE market = $market AND session BETWEEN $oldest AND $last) b "
            "ON odd.symbol = b.symbol AND odd.session > b.session "
            "WHERE (odd.close, odd.volume) IS DISTINCT FROM (b.close, b.volume) GROUP BY odd.session",
            {"market": market, "oldest": first - LOOK_BACK, "first": first, "last": last},
        ).fetchall()
    return dict(found)


def instruments(lake: Lake, market: str, as_of: date | None = None) -> tuple[Instrument, ...]:
    """Every instrument that is or was tracked. One that was never verified, or is retired, is not tradable.

    With `as_of`, one that was retired later still is, and one delisted on or before it is not.
    """
    with lake.read() as cursor:
        rows = cursor.execute(
            "SELECT symbol, mic, currency, coalesce(name, ''), lot, tick, fractionable, shortable, "
            "tradable AND last_verified IS NOT NULL AND (retired_on IS NULL OR coalesce(retired_on > $as_of, false)) "
            f"FROM {whole('symbols')} WHERE market = $market ORDER BY symbol",
            {"market": market, "as_of": as_of},
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


def ticker_changes(lake: Lake, market: str, session: date) -> list[tuple[str, date, str | None]]:
    """Tickers that do not name what they named before: symbol, first day of that up to `session`, and where it went.

    A ticker that was renamed, with its new one; or one that another company has now: it has bars after its delisting,
    or is another instrument at the provider.
    """
    with lake.read() as cursor:
        rows = cursor.execute(
            f"SELECT DISTINCT a.symbol, a.ex_session, a.new_symbol FROM {whole('corporate_actions', 'a')} "
            "WHERE a.market = $1 AND a.ex_session <= $2 AND (a.kind = 'rename' OR a.kind = 'delisting' AND EXISTS "
            "(SELECT 1 FROM bars b WHERE b.market = $1 AND b.symbol = a.symbol "
            "AND b.session > a.ex_session AND b.session < $2)) "
            f"UNION SELECT i.previous_symbol, i.since, i.symbol FROM {whole('symbol_identities', 'i')} "
            "WHERE i.market = $1 AND i.since <= $2 AND i.previous_symbol NOT LIKE '%@%' "
            f"UNION SELECT split_part(i.symbol, '@', 1), i.until, NULL FROM {whole('symbol_identities', 'i')} "
            "WHERE i.market = $1 AND i.until <= $2 AND i.symbol LIKE '%@%' ORDER BY ALL",
            [market, session],
        ).fetchall()
    return [(str(symbol), day, new_symbol) for symbol, day, new_symbol in rows]


def coverage(lake: Lake, market: str, session: date) -> tuple[int, int, tuple[str, ...]]:
    """How many of the universe have a good bar of `session`, how many should, and which do not.

    A symbol delisted or retired on or before `session` should have none, nor one that nobody has verified.
    """
    with lake.read() as cursor:
        tracked = cursor.execute(
            f"SELECT symbol FROM {whole('symbols')} WHERE market = ? AND last_verified IS NOT NULL "
            "AND (retired_on IS NULL OR retired_on > ?)",
            [market, session],
        ).fetchall()
        bars = cursor.execute("SELECT symbol FROM bars WHERE market = ? AND session = ?", [market, session]).fetchall()
        gone = delisted(cursor, market, session)
    expected = {symbol for (symbol,) in tracked} - gone
    missing = expected - {symbol for (symbol,) in bars}
    return len(expected) - len(missing), len(expected), tuple(sorted(missing))


def too_many_missing(missing: int, expected: int) -> bool:
    """Whether a session's feed has failed: more than a tenth of the symbols are absent, and more than two.

    Single halts and late listings are life; a small universe is not stopped by one of them.
    """
    return missing > max(ALWAYS_TOLERATED, MAX_MISSING_SHARE * expected) or missing >= expected


def _dated(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Turn a column of stamps into dates."""
    frame[column] = frame[column].dt.date
    return frame
