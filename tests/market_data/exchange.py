"""A provider with ids of its own, and what the tests of symbols do with it and look at in the lake."""

from datetime import UTC, date, datetime, timedelta

from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.market_data.bar_store import Origin, insert_missing
from scizor_dagster.market_data.collect import collect_actions, collect_symbols
from scizor_dagster.market_data.provider import Listing
from scizor_dagster.market_data.symbol_reading import symbol_rows
from scizor_dagster.market_data.verification import Asking
from tests.market_data.support import FrameMarket, actions_frame, entry, flat_bars, market, rows

DAY = timedelta(days=1)
FEB1 = datetime(2024, 2, 1, 22, 0, tzinfo=UTC)


class Exchange(FrameMarket):
    """A provider with ids of its own, a request for each symbol, and hours in which it does not answer."""

    name = "ibkr"
    lookup_calls = "each"

    def __init__(self, **ids: str | None) -> None:
        super().__init__(flat_bars([], []))
        self.ids = ids
        self.calls: list[str] = []
        self.down = False

    def lookup(self, symbols):
        self.calls += symbols
        if self.down:
            raise BrokerUnavailable("It is down.", remedy="Wait.")
        return {s: (Listing(s, self.ids[s]),) if self.ids.get(s) else () for s in symbols}


class Files(FrameMarket):
    """A source without ids, which knows every ticker."""

    name = "files:prices.csv"

    def __init__(self) -> None:
        super().__init__(flat_bars([], []))

    def lookup(self, symbols):
        return {symbol: (Listing(symbol, ""),) for symbol in symbols}


def verify(lake, provider, symbols, now=FEB1, **asking):
    entries = [entry(symbol) for symbol in symbols.split()]
    return collect_symbols(lake, "us", market(), entries, provider, now, Asking(**asking))


def store(lake, symbols, sessions, price=10.0, adjustment="raw"):
    origin = Origin("us", adjustment, False, "ibkr", FEB1)
    with lake.write() as cursor:
        return insert_missing(cursor, flat_bars(symbols.split(), sessions, price), origin)


def act(lake, *actions):
    provider = FrameMarket(flat_bars([], []), actions_frame(actions))
    symbols = sorted({action[0] for action in actions})
    collect_actions(lake, "us", market(), provider, symbols, date(2024, 1, 1), date(2024, 12, 31), FEB1)


def bars(lake):
    found = rows(lake, "SELECT symbol, count(*), min(session), max(session) FROM bars GROUP BY 1 ORDER BY 1")
    return {symbol: tuple(rest) for symbol, *rest in found}


def state(lake, symbol):
    return next(row for row in symbol_rows(lake, "us") if row.symbol == symbol)


def history(lake, symbol):
    return rows(
        lake,
        f"SELECT since, until, reason FROM universe_history WHERE symbol = '{symbol}' ORDER BY since, until NULLS LAST",
    )
