"""How large a backtest or a search may be that somebody asks for from outside.

What belongs here: counting it before anything is read, and refusing it. What does not: the limits themselves
(`config.api`), and the time that a run may take, which the run watches (`assets.backtests`).
"""

from __future__ import annotations

from scizor_dagster.backtest.request import BacktestRequest
from scizor_dagster.errors import ConfigError, InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.optimizing import SearchRequest
from scizor_dagster.flow.strategies import records_of, registry_of, version_row

_UNKNOWN = 1_000_000.0


def market_of(desk: Desk, request: BacktestRequest) -> str:
    """Whose prices a request takes, where it takes those of the lake."""
    if request.market is not None:
        return request.market
    if request.portfolio is not None:
        return desk.portfolio(request.portfolio).market
    return next(iter(desk.config.markets))


def cells_of(desk: Desk, request: BacktestRequest) -> int:
    """Sessions times instruments, at most: what memory and time of a backtest grow with."""
    market = market_of(desk, request)
    calendar, settings = desk.calendar(market), desk.market(market)
    first = max(request.first or settings.first_session, settings.first_session)
    last = min(request.last or calendar.last, desk.clock().date())
    sessions = len(calendar.sessions(first, last)) if first <= last else 0
    return sessions * (len(request.symbols) or len(desk.universe(market)))


def require_size(desk: Desk, request: BacktestRequest, most: int, sets: float = 1.0) -> None:
    """Refuse what is larger than `most` sessions x instruments x sets.

    Raises:
        InputError: it is.
        ConfigError: there is no such market or portfolio.
    """
    cells = cells_of(desk, request) * sets
    if cells > most:
        raise InputError(
            f"That is up to {cells:,.0f} sessions x instruments{' x sets' if sets > 1 else ''}; {most:,} are taken.",
            remedy="Ask for fewer sessions (first, last), symbols or sets, or run it on the command line.",
            where="body",
        )


def sets_of(request: SearchRequest) -> float:
    """How many sets a search tries at most, as far as its axes say without the strategy's code."""
    from scizor_dagster.backtest.search.spaces import space_of

    size = space_of(request.space).size()
    tried = min(size, request.trials) if request.trials is not None else size
    return min(tried, _UNKNOWN)


def require_no_files(desk: Desk, request: BacktestRequest, varying: tuple[str, ...] = ()) -> None:
    """Refuse parameters that would choose a file of this machine.

    Raises:
        InputError: they would.
        ConfigError: there is no such strategy, or its code cannot be loaded.
    """
    name = request.strategy
    if name is None or any(entry.id == name and entry.function is None for entry in desk.manifest.strategies):
        return
    entry = next((entry for entry in desk.manifest.strategies if entry.id == name), None)
    refuse_files(desk, entry.function or name if entry is not None else name, [*request.parameters, *varying])


def refuse_files(desk: Desk, name: str, parameters: list[str]) -> None:
    """Refuse parameters of a strategy, or of a record of one, whose parameters name files. Raises as above."""
    record = records_of(desk).get(name)
    function = version_row(desk, record.version).function if record is not None else name
    known = registry_of(desk)
    if function not in known.names():
        raise ConfigError(f"There is no strategy '{name}'.", remedy="See GET /api/strategies for those there are.")
    asks = record is None or bool(parameters)
    if asks and known.find(function).parameters.NAMES_FILES:
        raise InputError(
            f"Strategy '{name}' reads a file that its parameters name, which cannot be chosen from here.",
            remedy="Send the weights to a strategy of the manifest: POST /api/strategies/ID/signals.",
            where="body.parameters",
        )
