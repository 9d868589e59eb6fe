"""Every table of the lake, and the two ways to write one.

What belongs here: column names, types and layout, once. What does not: what rows mean or which are
good (pandera schemas in `schemas`, rules in the packages that write them).

DuckLake has no primary keys. A write is a `DELETE` of its key range and an `INSERT` in one
transaction (`replace_rows`), so that writing the same thing twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from scizor_dagster.errors import DataError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.inlined import flush
from scizor_dagster.lake.migrations import columns_of, existing_columns, upgrade

if TYPE_CHECKING:
    import pandas as pd

_PROVENANCE = "source VARCHAR NOT NULL, fetched_at TIMESTAMPTZ NOT NULL"
_PROFIT = (
    "qty VARCHAR NOT NULL, price VARCHAR, value VARCHAR NOT NULL, cost VARCHAR NOT NULL, realised VARCHAR NOT NULL, "
    "unrealised VARCHAR NOT NULL, income VARCHAR NOT NULL, fees VARCHAR NOT NULL, inflow VARCHAR NOT NULL, "
    "profit VARCHAR NOT NULL"
)

TABLES: dict[str, str] = {
    "symbols": f"""
        market VARCHAR NOT NULL, symbol VARCHAR NOT NULL, instrument_id VARCHAR NOT NULL, mic VARCHAR NOT NULL,
        name VARCHAR, currency VARCHAR NOT NULL, sector VARCHAR, category VARCHAR, lot INTEGER NOT NULL,
        tick DECIMAL(12,6) NOT NULL, fractionable BOOLEAN NOT NULL, shortable BOOLEAN NOT NULL,
        tradable BOOLEAN NOT NULL, verified BOOLEAN NOT NULL, last_verified TIMESTAMPTZ, note VARCHAR,
        provider_id VARCHAR, reason VARCHAR, retired_on DATE, last_asked TIMESTAMPTZ, next_due TIMESTAMPTZ,
        {_PROVENANCE}""",
    "universe_history": f"""
        market VARCHAR NOT NULL, symbol VARCHAR NOT NULL, since DATE NOT NULL, until DATE, reason VARCHAR,
        note VARCHAR NOT NULL, {_PROVENANCE}""",
    "symbol_identities": f"""
        market VARCHAR NOT NULL, symbol VARCHAR NOT NULL, provider_id VARCHAR NOT NULL, since DATE NOT NULL,
        until DATE, bars_from DATE, previous_symbol VARCHAR, note VARCHAR NOT NULL, {_PROVENANCE}""",
    "bars": f"""
        market VARCHAR NOT NULL, symbol VARCHAR NOT NULL, session DATE NOT NULL, open DOUBLE NOT NULL,
        high DOUBLE NOT NULL, low DOUBLE NOT NULL, close DOUBLE NOT NULL, volume DOUBLE NOT NULL,
        adjustment VARCHAR NOT NULL, synthetic BOOLEAN NOT NULL, stored_at TIMESTAMPTZ, {_PROVENANCE}""",
    "bar_revisions": f"""
        market VARCHAR NOT NULL, symbol VARCHAR NOT NULL, session DATE NOT NULL, open DOUBLE NOT NULL,
        high DOUBLE NOT NULL, low DOUBLE NOT NULL, close DOUBLE NOT NULL, volume DOUBLE NOT NULL,
        adjustment VARCHAR NOT NULL, synthetic BOOLEAN NOT NULL, replaced_at TIMESTAMPTZ NOT NULL,
        last_snapshot BIGINT NOT NULL, reason VARCHAR NOT NULL, stored_at TIMESTAMPTZ, {_PROVENANCE}""",
    "quarantined_bars": f"""
        market VARCHAR NOT NULL, symbol VARCHAR NOT NULL, session DATE NOT NULL, open DOUBLE, high DOUBLE,
        low DOUBLE, close DOUBLE, volume DOUBLE, reason VARCHAR NOT NULL, detail VARCHAR, adjustment VARCHAR,
        synthetic BOOLEAN, {_PROVENANCE}""",
    "empty_sessions": f"""
        market VARCHAR NOT NULL, session DATE NOT NULL, {_PROVENANCE}""",
    "absent_bars": f"""
        market VARCHAR NOT NULL, symbol VARCHAR NOT NULL, first_session DATE NOT NULL,
        last_session DATE NOT NULL, settled BOOLEAN, {_PROVENANCE}""",
    "failed_questions": f"""
        market VARCHAR NOT NULL, symbol VARCHAR NOT NULL, first_session DATE NOT NULL,
        last_session DATE NOT NULL, reason VARCHAR NOT NULL, detail VARCHAR NOT NULL, {_PROVENANCE}""",
    "early_bars": f"""
        market VARCHAR NOT NULL, symbol VARCHAR NOT NULL, session DATE NOT NULL, {_PROVENANCE}""",
    "second_bars": f"""
        market VARCHAR NOT NULL, symbol VARCHAR NOT NULL, session DATE NOT NULL, close DOUBLE NOT NULL,
        volume DOUBLE NOT NULL, adjustment VARCHAR NOT NULL, {_PROVENANCE}""",
    "corporate_actions": f"""
        market VARCHAR NOT NULL, symbol VARCHAR NOT NULL, ex_session DATE NOT NULL, kind VARCHAR NOT NULL,
        ratio DOUBLE, amount DOUBLE, currency VARCHAR, new_symbol VARCHAR, ex_until DATE, {_PROVENANCE}""",
    "adjustment_factors": f"""
        market VARCHAR NOT NULL, symbol VARCHAR NOT NULL, first_session DATE NOT NULL,
        split_factor DOUBLE NOT NULL, total_return_factor DOUBLE NOT NULL, {_PROVENANCE}""",
    "fx_rates": f"""
        base VARCHAR NOT NULL, quote VARCHAR NOT NULL, session DATE NOT NULL, rate DOUBLE NOT NULL, {_PROVENANCE}""",
    "signals": f"""
        strategy VARCHAR NOT NULL, session DATE NOT NULL, weights_date DATE NOT NULL, asset_id VARCHAR NOT NULL,
        weight DOUBLE NOT NULL, sheet VARCHAR, line INTEGER NOT NULL, path VARCHAR NOT NULL,
        file_hash VARCHAR NOT NULL, {_PROVENANCE}""",
    "target_weights": f"""
        portfolio VARCHAR NOT NULL, session DATE NOT NULL, target INTEGER NOT NULL, symbol VARCHAR NOT NULL,
        instrument_id VARCHAR NOT NULL, target_weight VARCHAR NOT NULL, status VARCHAR NOT NULL,
        note VARCHAR, candidates VARCHAR, {_PROVENANCE}""",
    "target_attribution": f"""
        portfolio VARCHAR NOT NULL, session DATE NOT NULL, target INTEGER NOT NULL, symbol VARCHAR NOT NULL,
        instrument_id VARCHAR NOT NULL, strategy VARCHAR NOT NULL, asset_id VARCHAR NOT NULL, line INTEGER NOT NULL,
        file_hash VARCHAR NOT NULL, weight_stated VARCHAR NOT NULL, contribution VARCHAR NOT NULL, {_PROVENANCE}""",
    "plans": f"""
        portfolio VARCHAR NOT NULL, account VARCHAR NOT NULL, session DATE NOT NULL, batch INTEGER NOT NULL,
        plan_id VARCHAR NOT NULL, currency VARCHAR NOT NULL, equity VARCHAR NOT NULL, cash_buffer VARCHAR NOT NULL,
        priced_on DATE, adjustment VARCHAR NOT NULL, overflow_factor VARCHAR NOT NULL, lake_snapshot BIGINT NOT NULL,
        code_version VARCHAR NOT NULL, rules VARCHAR NOT NULL, notes VARCHAR NOT NULL, inputs_sha256 VARCHAR,
        origin VARCHAR,
        {_PROVENANCE}""",
    "plan_inputs": f"""
        plan_id VARCHAR NOT NULL, portfolio VARCHAR NOT NULL, session DATE NOT NULL, inputs VARCHAR NOT NULL,
        {_PROVENANCE}""",
    "plan_lines": f"""
        plan_id VARCHAR NOT NULL, portfolio VARCHAR NOT NULL, session DATE NOT NULL, symbol VARCHAR NOT NULL,
        instrument_id VARCHAR NOT NULL, current_qty VARCHAR NOT NULL, target_weight VARCHAR NOT NULL, price VARCHAR,
        price_session DATE, price_source VARCHAR NOT NULL, target_qty VARCHAR, delta_qty VARCHAR NOT NULL,
        reason VARCHAR NOT NULL, note VARCHAR NOT NULL, asset_ids VARCHAR NOT NULL, working_qty VARCHAR,
        kept_qty VARCHAR,
        {_PROVENANCE}""",
    "planned_orders": f"""
        plan_id VARCHAR NOT NULL, portfolio VARCHAR NOT NULL, session DATE NOT NULL, client_order_id VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL, instrument_id VARCHAR NOT NULL, side VARCHAR NOT NULL, qty VARCHAR NOT NULL,
        order_type VARCHAR NOT NULL, time_in_force VARCHAR NOT NULL, intent VARCHAR NOT NULL,
        price_used VARCHAR NOT NULL, leg INTEGER NOT NULL, slice INTEGER NOT NULL, phase INTEGER NOT NULL,
        reason VARCHAR NOT NULL, depends_on VARCHAR NOT NULL, limit_price VARCHAR, take_profit VARCHAR,
        stop_loss VARCHAR, {_PROVENANCE}""",
    "reconciliations": f"""
        portfolio VARCHAR NOT NULL, account VARCHAR NOT NULL, session DATE NOT NULL, state VARCHAR NOT NULL,
        orders INTEGER NOT NULL, filled INTEGER NOT NULL, working INTEGER NOT NULL, breaks INTEGER NOT NULL,
        summary VARCHAR NOT NULL, pass VARCHAR, compared_with VARCHAR, closed BOOLEAN, {_PROVENANCE}""",
    "breaks": f"""
        portfolio VARCHAR NOT NULL, account VARCHAR NOT NULL, session DATE NOT NULL, kind VARCHAR NOT NULL,
        symbol VARCHAR, client_order_id VARCHAR, expected VARCHAR NOT NULL, found VARCHAR NOT NULL,
        severity VARCHAR NOT NULL, remedy VARCHAR NOT NULL, pass VARCHAR, stage VARCHAR, break_class VARCHAR,
        plan VARCHAR, ledger VARCHAR, broker VARCHAR, cause VARCHAR, qty VARCHAR, amount VARCHAR, currency VARCHAR,
        value VARCHAR, locks VARCHAR, break_id VARCHAR, {_PROVENANCE}""",
    "order_results": f"""
        portfolio VARCHAR NOT NULL, session DATE NOT NULL, client_order_id VARCHAR NOT NULL, symbol VARCHAR NOT NULL,
        side VARCHAR NOT NULL, planned_qty VARCHAR NOT NULL, sent_qty VARCHAR NOT NULL, filled_qty VARCHAR NOT NULL,
        average_price VARCHAR, fees VARCHAR NOT NULL, price_used VARCHAR NOT NULL, state VARCHAR NOT NULL,
        slippage_bps DOUBLE, reason VARCHAR NOT NULL, {_PROVENANCE}""",
    "end_of_day_positions": f"""
        portfolio VARCHAR NOT NULL, session DATE NOT NULL, symbol VARCHAR NOT NULL, qty VARCHAR NOT NULL,
        broker_qty VARCHAR NOT NULL, target_qty VARCHAR, price DOUBLE, price_session DATE, market_value DOUBLE,
        {_PROVENANCE}""",
    "performance": f"""
        portfolio VARCHAR NOT NULL, session DATE NOT NULL, equity DOUBLE NOT NULL, cash DOUBLE NOT NULL,
        market_value DOUBLE NOT NULL, flows DOUBLE NOT NULL, fees DOUBLE NOT NULL, return DOUBLE,
        cumulative_return DOUBLE, drawdown DOUBLE, turnover DOUBLE, unpriced INTEGER NOT NULL,
        adjustment VARCHAR NOT NULL, synthetic BOOLEAN NOT NULL, account_money DOUBLE, earlier_flows DOUBLE,
        account VARCHAR, venue VARCHAR, {_PROVENANCE}""",
    "order_costs": f"""
        portfolio VARCHAR NOT NULL, session DATE NOT NULL, client_order_id VARCHAR NOT NULL, symbol VARCHAR NOT NULL,
        side VARCHAR NOT NULL, kind VARCHAR NOT NULL, order_type VARCHAR NOT NULL, state VARCHAR NOT NULL,
        reason VARCHAR NOT NULL, venue VARCHAR NOT NULL, currency VARCHAR NOT NULL, planned_qty VARCHAR NOT NULL,
        sent_qty VARCHAR NOT NULL, filled_qty VARCHAR NOT NULL, unit_factor VARCHAR NOT NULL, dividend VARCHAR NOT NULL,
        decision_price VARCHAR, decision_source VARCHAR NOT NULL, arrival_price VARCHAR,
        arrival_source VARCHAR NOT NULL, open_price VARCHAR, close_price VARCHAR, vwap_price VARCHAR,
        decision_value VARCHAR, filled_value VARCHAR NOT NULL, delay VARCHAR, spread VARCHAR, impact VARCHAR,
        fees VARCHAR NOT NULL, missed VARCHAR, total VARCHAR, unknown VARCHAR NOT NULL, left_out VARCHAR NOT NULL,
        total_bps DOUBLE, against_decision VARCHAR, against_arrival VARCHAR, against_open VARCHAR,
        against_close VARCHAR, against_vwap VARCHAR, half_spread_bps VARCHAR, spread_source VARCHAR NOT NULL,
        adv DOUBLE, volatility DOUBLE, estimated_spread DOUBLE, estimated_impact DOUBLE, estimated_fees DOUBLE,
        model_session DATE, adjustment VARCHAR NOT NULL, synthetic BOOLEAN NOT NULL, replanned_qty VARCHAR,
        {_PROVENANCE}""",
    "cost_models": f"""
        scope VARCHAR NOT NULL, name VARCHAR NOT NULL, session DATE NOT NULL, half_spread_bps DOUBLE NOT NULL,
        impact_coefficient DOUBLE NOT NULL, half_spread_error DOUBLE NOT NULL, impact_error DOUBLE NOT NULL,
        commission VARCHAR NOT NULL, orders INTEGER NOT NULL, sessions INTEGER NOT NULL, fitted BOOLEAN NOT NULL,
        note VARCHAR NOT NULL, venue VARCHAR, {_PROVENANCE}""",
    "profit_by_instrument": f"""
        portfolio VARCHAR NOT NULL, session DATE NOT NULL, symbol VARCHAR NOT NULL, sector VARCHAR NOT NULL,
        {_PROFIT}, {_PROVENANCE}""",
    "profit_by_strategy": f"""
        portfolio VARCHAR NOT NULL, session DATE NOT NULL, strategy VARCHAR NOT NULL, symbol VARCHAR NOT NULL,
        {_PROFIT}, {_PROVENANCE}""",
    "backtest_trials": f"""
        problem VARCHAR NOT NULL, strategy VARCHAR NOT NULL, parameters VARCHAR NOT NULL, state VARCHAR NOT NULL,
        error VARCHAR NOT NULL, equity DOUBLE[], traded DOUBLE NOT NULL, costs DOUBLE NOT NULL,
        seconds DOUBLE NOT NULL, {_PROVENANCE}""",
    "backtest_searches": f"""
        search_id VARCHAR NOT NULL, strategy VARCHAR NOT NULL, problem VARCHAR NOT NULL, request VARCHAR NOT NULL,
        record VARCHAR NOT NULL, {_PROVENANCE}""",
    "backtests": f"""
        backtest_id VARCHAR NOT NULL, name VARCHAR NOT NULL, portfolio VARCHAR NOT NULL, market VARCHAR NOT NULL,
        start DATE NOT NULL, first_session DATE NOT NULL, last_session DATE NOT NULL, sessions INTEGER NOT NULL,
        sessions_a_year INTEGER NOT NULL, instruments INTEGER NOT NULL, currency VARCHAR NOT NULL,
        adjustment VARCHAR NOT NULL, capital DOUBLE NOT NULL, equity DOUBLE NOT NULL, prices_from VARCHAR NOT NULL,
        weights_from VARCHAR NOT NULL, benchmark VARCHAR NOT NULL, request VARCHAR NOT NULL, rules VARCHAR NOT NULL,
        choices VARCHAR NOT NULL, capabilities VARCHAR NOT NULL, inputs_sha256 VARCHAR NOT NULL, lake_snapshot BIGINT,
        code_version VARCHAR NOT NULL, figures VARCHAR NOT NULL, notes VARCHAR NOT NULL, {_PROVENANCE}""",
    "backtest_equity": f"""
        backtest_id VARCHAR NOT NULL, session DATE NOT NULL, equity DOUBLE NOT NULL, cash DOUBLE NOT NULL,
        market_value DOUBLE NOT NULL, return DOUBLE, cumulative_return DOUBLE, drawdown DOUBLE, turnover DOUBLE,
        commission DOUBLE NOT NULL, spread DOUBLE NOT NULL, slippage DOUBLE NOT NULL, impact DOUBLE NOT NULL,
        traded DOUBLE NOT NULL, dividends DOUBLE NOT NULL, interest DOUBLE NOT NULL, borrow_fees DOUBLE NOT NULL,
        delistings DOUBLE NOT NULL, positions DOUBLE, gross DOUBLE, net DOUBLE, needed DOUBLE,
        benchmark_return DOUBLE, {_PROVENANCE}""",
    "backtest_months": f"""
        backtest_id VARCHAR NOT NULL, month DATE NOT NULL, return DOUBLE, benchmark_return DOUBLE,
        profit DOUBLE NOT NULL, costs DOUBLE NOT NULL, turnover DOUBLE NOT NULL, sessions INTEGER NOT NULL,
        {_PROVENANCE}""",
    "backtest_trades": f"""
        backtest_id VARCHAR NOT NULL, session DATE NOT NULL, symbol VARCHAR NOT NULL, planned BIGINT NOT NULL,
        filled BIGINT NOT NULL, reference DOUBLE, price DOUBLE, commission DOUBLE, spread DOUBLE, slippage DOUBLE,
        impact DOUBLE, reason VARCHAR NOT NULL, {_PROVENANCE}""",
    "backtest_instruments": f"""
        backtest_id VARCHAR NOT NULL, symbol VARCHAR NOT NULL, profit DOUBLE, income DOUBLE, costs DOUBLE NOT NULL,
        traded DOUBLE NOT NULL, orders INTEGER NOT NULL, units BIGINT NOT NULL, value DOUBLE NOT NULL,
        {_PROVENANCE}""",
    "backtest_positions": f"""
        backtest_id VARCHAR NOT NULL, session DATE NOT NULL, symbol VARCHAR NOT NULL, units BIGINT NOT NULL,
        close DOUBLE, value DOUBLE, {_PROVENANCE}""",
    "backtest_decisions": f"""
        backtest_id VARCHAR NOT NULL, session DATE NOT NULL, symbol VARCHAR NOT NULL, weight DOUBLE NOT NULL,
        reason VARCHAR NOT NULL, {_PROVENANCE}""",
}

PARTITIONING: dict[str, str] = {"bars": "market, year(session)"}


def initialise(lake: Lake) -> None:
    """Create what is missing, and bring what an earlier version made of a file to this one's shape.

    Safe to call from many processes, cheap when there is nothing to do.

    Raises:
        DataError: a table has columns that no known version gave it; or the lake is on a server, which others use, and
            was made by an earlier version.
    """
    due, made = tables_due(lake)
    if not due:
        return
    if made and lake.location.server:
        raise DataError(
            f"The lake is not of this version: {', '.join(due[:3])}{' and more' if len(due) > 3 else ''}.",
            remedy="End what runs with another version, then run: scizor upgrade.",
            where=lake.location.place,
        )
    upgrade_tables(lake)


def tables_due(lake: Lake) -> tuple[list[str], bool]:
    """The tables that are missing or of another shape, and whether there is any table at all."""
    with lake.read() as cursor:
        existing = existing_columns(cursor)
    due = [name for name, columns in TABLES.items() if existing.get(name) != frozenset(columns_of(columns))]
    return due, bool(existing)


def upgrade_tables(lake: Lake) -> None:
    """Bring every table to this version's shape, in one transaction.

    What DuckLake keeps in the catalog in an earlier shape is written into files at once: it drops the tables for that
    with the next flush, and every process that has seen them by then would go on asking for them.

    Raises:
        DataError: a table has columns that no known version gave it.
    """
    with lake.write() as cursor:
        before = existing_columns(cursor)
        upgrade(cursor, TABLES)
        existing = existing_columns(cursor)
        for name, columns in TABLES.items():
            if name in existing:
                continue
            cursor.execute(f"CREATE TABLE {name} ({columns})")
            if name in PARTITIONING:
                cursor.execute(f"ALTER TABLE {name} SET PARTITIONED BY ({PARTITIONING[name]})")
    if existing != before:
        flush(lake)


def replace_rows(
    cursor: duckdb.DuckDBPyConnection,
    table: str,
    frame: pd.DataFrame,
    where: str,
    parameters: Sequence[Any] | Mapping[str, Any] = (),
) -> int:
    """Replace the key range `where` of `table` by the rows of `frame`, in the cursor's transaction.

    Args:
        cursor: Of `Lake.write`.
        table: A key of `TABLES`.
        frame: Rows with the table's columns by name; a column left out becomes NULL.
        where: SQL condition with `?` or `$name` placeholders.
        parameters: What they are bound to.

    Returns:
        The number of rows inserted.
    """
    assert table in TABLES, table
    cursor.execute(f"DELETE FROM {table} WHERE {where}", parameters)
    return append_rows(cursor, table, frame)


def append_rows(cursor: duckdb.DuckDBPyConnection, table: str, frame: pd.DataFrame) -> int:
    """Insert the rows of `frame` by column name, in the cursor's transaction."""
    assert table in TABLES, table
    if frame.empty:
        return 0
    columns = ", ".join(frame.columns)
    cursor.register("incoming_rows", frame)
    try:
        cursor.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM incoming_rows")
    finally:
        cursor.unregister("incoming_rows")
    return len(frame)
