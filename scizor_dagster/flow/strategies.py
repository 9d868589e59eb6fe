"""Strategies in Python on this desk: by name, with their records, and their weights as files for signal intake.

What belongs here: putting registry, records and manifest together, and computing a session's weights from the lake.
What does not: what a strategy is (`strategies`), and what becomes of its file (`signals`).

The weights of a session are computed on the close before it, written as a file, and go through intake like one that
was delivered. As long as no plan stands, they are computed again whenever they are asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from scizor_dagster.backtest.histories import lake_history
from scizor_dagster.backtest.model import History
from scizor_dagster.errors import ConfigError, InputError, PriceUnavailable, SignalRefused
from scizor_dagster.flow.approving import plan_stands
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.connection import Lake
from scizor_dagster.ledger.strategy_records import (
    ComputedRow,
    RecordAction,
    RecordRow,
    VersionRow,
    change_record,
    live_records,
    note_computed,
    note_version,
    version_of,
)
from scizor_dagster.market_data.reading import coverage, too_many_missing
from scizor_dagster.signals.computed import of_session, weight_text, write_whole
from scizor_dagster.signals.manifest import Rebalance, StrategyEntry
from scizor_dagster.signals.report import Violation
from scizor_dagster.strategies.deciding import decide
from scizor_dagster.strategies.definition import Strategy
from scizor_dagster.strategies.prices import LISTED_WITHIN, AsOf
from scizor_dagster.strategies.rebalancing import rebalance_sessions
from scizor_dagster.strategies.registry import Registry


def registry_of(desk: Desk) -> Registry:
    """Shipped strategies, those of packages, and those of the project's own folder."""
    return Registry(desk.config.folder / desk.config.strategy_folder)


def strategy_named(
    desk: Desk, name: str, values: Mapping[str, Any] | None = None, rebalance: Rebalance | None = None
) -> Strategy:
    """A strategy by the name of its record, else of its function.

    Args:
        desk: Its ledger has the records, its configuration the folder.
        name: Of either; no name is both.
        values: Parameters in the place of the record's, or of the defaults.
        rebalance: In the place of the record's; `daily` where neither says.

    Raises:
        ConfigError: there is none, its code cannot be loaded, or a parameter cannot be used.
    """
    registry, record = registry_of(desk), records_of(desk).get(name)
    if record is None:
        return registry.find(name).configured(values, rebalance or "daily")
    if name in registry.names():
        raise ConfigError(
            f"'{name}' is a record and a strategy's own name.",
            remedy=f"Rename the file, or delete the record: scizor strategy delete {name}.",
            where=name,
        )
    return recorded(desk, record, values, rebalance)


def recorded(
    desk: Desk, record: RecordRow, values: Mapping[str, Any] | None = None, rebalance: Rebalance | None = None
) -> Strategy:
    """A record's strategy with the code as it is now: where that has changed, its version is another one."""
    kept = version_row(desk, record.version)
    given = {**json.loads(kept.parameters), **(values or {})}
    # Written by this module alone, of what was checked then.
    rhythm: Any = rebalance or kept.rebalance
    return registry_of(desk).find(kept.function).configured(given, rhythm)


def records_of(desk: Desk) -> dict[str, RecordRow]:
    """Records by name; none where there is no ledger yet."""
    if not desk.has_ledger:
        return {}
    with desk.ledger.read() as connection:
        return live_records(connection)


def version_row(desk: Desk, version: str) -> VersionRow:
    with desk.ledger.read() as connection:
        found = version_of(connection, version)
    assert found is not None, version
    return found


def change(
    desk: Desk,
    name: str,
    action: RecordAction,
    *,
    function: str = "",
    values: Mapping[str, Any] | None = None,
    rebalance: Rebalance | None = None,
    description: str | None = None,
    actor: str,
    reason: str,
) -> RecordRow:
    """Create, update or delete a record. An update keeps what it does not name, and takes the code as it is now.

    Raises:
        ConfigError: the function, its code or a parameter cannot be used.
        InputError: a strategy's own name, that of an entry of the manifest, or a record that the manifest names.
        LedgerError: see `ledger.strategy_records.change_record`.
    """
    before = records_of(desk).get(name)
    if action is RecordAction.CREATED and name in registry_of(desk).names():
        raise InputError(
            f"'{name}' is the name of a strategy already.", remedy="Give the record another one.", where="NAME"
        )
    if action is RecordAction.CREATED and any(entry.id == name for entry in desk.manifest.strategies):
        raise InputError(
            f"'{name}' is a strategy of the manifest already ({desk.manifest.where(name)}): the record would never be "
            "what the name means.",
            remedy="Give the record another name; an entry of the manifest takes it with 'function: NAME'.",
            where="NAME",
        )
    if action is RecordAction.DELETED:
        _require_unused(desk, name)
    if action is RecordAction.CREATED:
        strategy: Strategy | None = registry_of(desk).find(function).configured(values, rebalance or "daily")
    elif action is RecordAction.UPDATED and before is not None:
        strategy = recorded(desk, before, values, rebalance)
    else:
        strategy = None
    told = description if description is not None else before.description if before is not None else ""
    version = strategy.version if strategy is not None else before.version if before is not None else ""
    now = desk.clock()
    with desk.ledger.transaction() as connection:
        if strategy is not None:
            note_version(connection, "", _row_of(desk, strategy))
        return change_record(connection, name, action, version, description=told, actor=actor, reason=reason, now=now)


def _require_unused(desk: Desk, name: str) -> None:
    users = [entry.id for entry in desk.manifest.strategies if entry.function == name]
    followers = [key for key, item in desk.config.portfolios.items() if set(users) & set(item.signals.ids)]
    if users:
        by = f", followed by portfolio {' and '.join(followers)}" if followers else ""
        raise InputError(
            f"Record '{name}' is used by strategy {' and '.join(users)} of the manifest{by}.",
            remedy="Take it out of the manifest first; nothing was deleted.",
            where=name,
        )


def _row_of(desk: Desk, strategy: Strategy) -> VersionRow:
    definition = strategy.definition
    return VersionRow(
        strategy.version, definition.name, definition.source, strategy.parameters_text, strategy.rebalance, desk.clock()
    )


def strategy_of(desk: Desk, entry: StrategyEntry) -> Strategy:
    """The strategy that an entry of the manifest names.

    Raises:
        ConfigError: as `strategy_named`; or the entry changes parameters of a record, which are the record's alone.
    """
    assert entry.function is not None, entry.id
    if entry.parameters and entry.function in records_of(desk):
        raise ConfigError(
            f"Strategy '{entry.id}' names the record '{entry.function}' and parameters as well.",
            remedy=f"Take 'parameters' away, or change the record: scizor strategy update {entry.function}.",
            where=desk.config.strategy_manifest,
        )
    return strategy_named(desk, entry.function, entry.parameters, entry.rebalance)


def trading_sessions(desk: Desk, portfolio: str, entry: StrategyEntry) -> frozenset[date]:
    """Sessions that a computing strategy has weights for, as far as the calendar is known."""
    market = desk.portfolio(portfolio).market
    calendar = desk.calendar(market)
    first = desk.market(market).first_session
    return frozenset(rebalance_sessions(calendar, first, calendar.last, strategy_of(desk, entry).rebalance))


def delivered(desk: Desk, portfolio: str, entry: StrategyEntry, session: date) -> StrategyEntry:
    """The entry with the file that `session` trades on: of the newest session with weights, where that may be an older.

    Raises:
        SignalRefused: the strategy does not decide anew in this session, and older weights are not taken.
    """
    if entry.function is None:
        return entry
    return of_session(entry, _decided_for(desk, portfolio, entry, session))


def _decided_for(desk: Desk, portfolio: str, entry: StrategyEntry, session: date) -> date:
    settings, strategy = desk.portfolio(portfolio), strategy_of(desk, entry)
    calendar = desk.calendar(settings.market)
    first = desk.market(settings.market).first_session
    found = rebalance_sessions(
        calendar, session if settings.signals.as_of == "exact" else first, session, strategy.rebalance
    )
    if found:
        return found[-1]
    problem = f"It decides anew {strategy.rebalance}, and {session} is none of its sessions."
    remedy = "Trade another session, set 'rebalance' in the strategy manifest, or signals.as_of to latest."
    violation = Violation("no_rows_for_session", problem, remedy, value=session.isoformat())
    raise SignalRefused(entry.id, entry.path, (violation,))


def compute_weights(desk: Desk, portfolio: str, session: date, strategy_id: str) -> None:
    """Compute and write the weights that `session` trades on; nothing for a strategy whose file is delivered.

    Weights of an earlier session that are there already stay as they were made, and so do those of a plan in force.

    Raises:
        PriceUnavailable: the closes before the session are not collected.
        SignalRefused: the strategy does not decide anew in this session, or decides nothing.
        ConfigError, DataError: the strategy cannot be loaded, fails, or answers no weights.
    """
    entry = desk.manifest.strategy(strategy_id)
    if entry.function is None:
        return
    due = _decided_for(desk, portfolio, entry, session)
    path = Path(of_session(entry, due).path)
    if path.is_file() and (due < session or _stands(desk, strategy_id, session)):
        return
    strategy, market = strategy_of(desk, entry), desk.portfolio(portfolio).market
    _require_known(desk, market, strategy)
    with desk.lake.pinned() as lake:
        snapshot = lake.snapshot()
        history = history_before(desk, lake, market, due, strategy.window)
    prices = AsOf(history, due).at(len(history.sessions) - 1, strategy.window)
    weights = decide(strategy, prices)
    if weights is None:
        violation = Violation("no_rows_for_session", f"It decides nothing for session {due}.", "Trade another session.")
        raise SignalRefused(entry.id, str(path), (violation,))
    # A file that names nothing says nothing: what is to be sold stands in it with 0.
    data = weight_text(entry, due, weights or dict.fromkeys(prices.symbols, 0.0))
    write_whole(path, data)
    made = ComputedRow(
        strategy=entry.id,
        session=due,
        file_hash=hashlib.sha256(data).hexdigest(),
        version=strategy.version,
        priced_on=prices.last,
        lake_snapshot=snapshot,
        path=str(path),
        made_at=desk.clock(),
    )
    with desk.ledger.transaction() as connection:
        note_version(connection, desk.portfolio(portfolio).account, _row_of(desk, strategy))
        note_computed(connection, desk.portfolio(portfolio).account, made)


def _require_known(desk: Desk, market: str, strategy: Strategy) -> None:
    """A symbol that is spelled wrongly would never be held, and nobody would be told."""
    unknown = sorted(strategy.symbols - set(desk.instruments(market)))
    if unknown:
        raise ConfigError(
            f"The parameters of strategy '{strategy.name}' name {', '.join(unknown)}, which market '{market}' does not "
            "know.",
            remedy="Correct 'symbols', or add them to the market's universe.",
            where=desk.config.strategy_manifest,
        )


def _stands(desk: Desk, strategy_id: str, session: date) -> bool:
    """Whether any plan of the session that may be made of the strategy's file is in force."""
    followers = (name for name, item in desk.config.portfolios.items() if strategy_id in item.signals.ids)
    return any(plan_stands(desk, name, session) for name in followers)


def history_before(desk: Desk, lake: Lake, market: str, session: date, window: int | None) -> History:
    """Stored prices up to the close before `session`: as many as a strategy with this window is shown, or decided by.

    Raises:
        PriceUnavailable: that close is not collected.
    """
    calendar, settings = desk.calendar(market), desk.market(market)
    before = calendar.previous_session(session)
    there, expected, missing = coverage(lake, market, before)
    if not there or too_many_missing(len(missing), expected):
        raise PriceUnavailable(
            f"Weights for {session} are made on the closes of {before}, and {there} of {expected} are collected.",
            remedy=f"Collect them first: scizor collect daily --market {market} --date {before}.",
            where=f"market {market}",
        )
    sessions: Sequence[date] = calendar.sessions(settings.first_session, before)
    if window is not None:
        sessions = sessions[-window - LISTED_WITHIN :]
    return lake_history(lake, market, sessions, desk.instruments(market), settings.currency)
