"""What somebody may ask for from outside: how large a backtest or a search, of which strategy, with which parameters.

What belongs here: looking before anything is run, and refusing it. What does not: the limits themselves
(`config.api`), and the time that a run may take, which the run watches (`assets.backtests`).

What is refused here is what the request has named (`InputError`); a strategy whose code is broken stays an error of the
configuration (`ConfigError`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from scizor_dagster.backtest.request import BacktestRequest
from scizor_dagster.errors import InputError, ParametersRefused
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
        InputError: they would; or there is no such strategy, or parameter of it.
        ConfigError: its code cannot be loaded.
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
        raise InputError(
            f"There is no strategy '{name}' in Python.",
            remedy="See GET /api/strategies for those there are.",
            where="body",
        )
    if record is not None and not parameters:
        return
    model = known.find(function).parameters
    unknown = sorted(set(parameters) - set(model.model_fields))
    if unknown:
        raise InputError(
            f"Strategy '{name}' has no parameter '{unknown[0]}'.",
            remedy=f"It takes: {', '.join(model.model_fields) or 'none'}.",
            where=f"body.parameters.{unknown[0]}",
        )
    if model.NAMES_FILES:
        raise InputError(
            f"Strategy '{name}' reads a file that its parameters name, which cannot be chosen from here.",
            remedy="Send the weights to a strategy of the manifest: POST /api/strategies/ID/signals.",
            where="body.parameters",
        )


def require_parameters(desk: Desk, request: BacktestRequest) -> None:
    """Refuse parameters that the strategy of a backtest does not take.

    Raises:
        InputError: they are those of the request.
        ConfigError: they are those of the strategy manifest; or the strategy's code cannot be loaded.
    """
    # It needs NumPy.
    from scizor_dagster.flow.backtest_strategies import strategy_asked

    in_manifest = any(entry.id == request.strategy for entry in desk.manifest.strategies)
    with asked_for(mine=bool(request.parameters) or not in_manifest):
        strategy_asked(desk, request)


@contextmanager
def asked_for(*, mine: bool = True) -> Iterator[None]:
    """Where parameters are refused that the request has named (`mine`), it is the request that cannot be used.

    Raises:
        InputError: they are, without the place of the code.
    """
    try:
        yield
    except ParametersRefused as error:
        if not mine:
            raise
        raise InputError(error.problem, remedy=error.remedy, where="body.parameters") from error
