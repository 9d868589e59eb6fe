"""Which instrument a name in a request means: `AAPL`, `AAPL.XNAS`, or the archived `WM@2009-08-04`.

What belongs here: looking a name up in what is tracked, or was. What does not: what is made of it (the routes).

Names are looked up and never used as anything else: none of them gets near a path or a query's text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from scizor_dagster.api.context import Context
from scizor_dagster.api.data_farmer.kept import shelf_of
from scizor_dagster.api.problems import NotFound, RequestRefused
from scizor_dagster.errors import ConfigError, InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.market_data.symbol_reading import symbol_rows
from scizor_dagster.market_data.symbol_rows import SymbolRow


@dataclass(frozen=True, slots=True)
class KnownSymbol:
    """One symbol of a market. `row` is what the lake keeps of it; None where it was never stored."""

    market: str
    symbol: str
    instrument_id: str
    name: str
    currency: str
    in_universe: bool
    row: SymbolRow | None


Index = Mapping[str, Sequence[KnownSymbol]]


class KnownSymbols:
    """Every known symbol by its names, made anew when a universe or the table of symbols changes."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._made: tuple[Desk, int, Index] | None = None

    def at_hand(self, desk: Desk) -> Index | None:
        """The index of that desk as it was made last. Asks nobody."""
        made = self._made
        return made[2] if made is not None and made[0] is desk else None

    def index(self, context: Context) -> Index:
        """By ticker and by id.

        Raises:
            ConfigError: a universe file cannot be used.
        """
        desk = context.desk
        version = shelf_of(context).histories(desk.lake).versions.newest("symbols") if desk.has_lake else -1
        with self._guard:
            if self._made is None or self._made[0] is not desk or self._made[1] != version:
                self._made = (desk, version, _index(desk))
            return self._made[2]


def known_symbol(context: Context, name: str, market: str | None = None) -> KnownSymbol:
    """The one symbol that `name` means, in `market` or anywhere.

    Raises:
        NotFound: there is none, or no such market.
        RequestRefused: there are several (409), which it lists.
        ConfigError: a universe file cannot be used.
    """
    require_market(context.desk, market)
    return named(context.part(KnownSymbols).index(context), name, market)


def named(index: Index, name: str, market: str | None) -> KnownSymbol:
    """The one symbol of `index` that `name` means, in `market` or anywhere.

    Raises:
        NotFound: there is none.
        RequestRefused: there are several (409), which it lists.
    """
    found = [item for item in index.get(name, ()) if market in (None, item.market)]
    if not found:
        raise NotFound("symbol", name)
    if len(found) > 1:
        listed = [f"{item.instrument_id} in market {item.market}" for item in found]
        raise RequestRefused(
            f"{name} is {len(found)} instruments: {', '.join(listed)}.",
            remedy="Ask for one of them by its id, or with market=.",
            status=409,
            fields=[{"field": "path.symbol", "problem": item} for item in listed],
        )
    return found[0]


def require_market(desk: Desk, market: str | None) -> None:
    """Refuse a market that is not configured; None is no market in particular.

    Raises:
        NotFound: it is not.
    """
    if market is not None and market not in desk.config.markets:
        raise NotFound("market", market)


def _index(desk: Desk) -> Index:
    found: defaultdict[str, list[KnownSymbol]] = defaultdict(list)
    for market in desk.config.markets:
        for item in _of_market(desk, market).values():
            for name in {item.symbol, item.instrument_id}:
                found[name].append(item)
    return found


def _of_market(desk: Desk, market: str) -> dict[str, KnownSymbol]:
    try:
        instruments = desk.instruments(market)
    except InputError as error:
        # Nothing that the request has said is wrong.
        raise ConfigError(error.problem, remedy=error.remedy, where=error.where) from error
    known = {row.symbol: row for row in (symbol_rows(desk.lake, market) if desk.has_lake else ())}
    found = {
        symbol: KnownSymbol(market, symbol, row.instrument_id, row.name, row.currency, symbol in instruments, row)
        for symbol, row in known.items()
    }
    for symbol, item in instruments.items():
        if symbol not in found:
            found[symbol] = KnownSymbol(market, symbol, item.id, item.name, item.currency, True, None)
    return found
