"""Pandera schemas: what a frame of each table must look like before anyone trusts it.

What belongs here: column presence, ranges and uniqueness of one table's frame. What does not: rules
that need a calendar, a clock or another table (`market_data.quality`, `signals`, `planning`).

These are for frames of one session or one plan. History has millions of rows, where pandera takes
twenty times as long as the comparisons themselves; the same rules for bars are applied there as array
operations by `market_data.quality.check_bars`.

Pandera is slow to import, so each schema is built when it is first asked for. Extra columns (`source`,
`fetched_at`, the partition's own keys) are allowed. Sessions may be dates or `datetime64`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa

    Schema = pa.DataFrameSchema

FAILURE_COLUMNS = ("column", "check", "row", "value")
TOLERANCE = 1e-6
"""Relative; the same as `market_data.quality.TOLERANCE`, and for the same reason."""

_DECIMAL = r"^-?\d+(\.\d+)?([eE][-+]?\d+)?$"
_CURRENCY = r"^[A-Z]{3}$"
_HASH = r"^[0-9a-f]{64}$"


def _text(pattern: str | None = None, *, blank: bool = False, nullable: bool = False) -> pa.Column:
    import pandera.pandas as pa

    shape = pattern or (None if blank else r"\S")
    checks = [pa.Check(lambda column: column.map(lambda value: isinstance(value, str)), name="is_text")]
    if shape:
        checks.append(pa.Check.str_matches(shape) if pattern else pa.Check.str_contains(shape))
    return pa.Column(None, checks, nullable=nullable)


def _one_of(values: list[str]) -> pa.Column:
    import pandera.pandas as pa

    return pa.Column(None, pa.Check.isin(values), nullable=False)


def _decimal(*, nullable: bool = False) -> pa.Column:
    """An exact number, kept as text."""
    return _text(_DECIMAL, nullable=nullable)


def _number(
    minimum: float | None = None, *, above: float | None = None, below: float | None = None, nullable: bool = False
) -> pa.Column:
    """A finite float64."""
    import pandera.pandas as pa

    checks = [pa.Check(lambda column: column.abs() < float("inf"), name="is_finite")]
    if minimum is not None:
        checks.append(pa.Check.ge(minimum))
    if above is not None:
        checks.append(pa.Check.gt(above))
    if below is not None:
        checks.append(pa.Check.lt(below))
    return pa.Column("float64", checks, nullable=nullable)


def _count(minimum: int) -> pa.Column:
    import pandera.pandas as pa

    return pa.Column(None, pa.Check.ge(minimum), nullable=False)


def _flag() -> pa.Column:
    import pandera.pandas as pa

    return pa.Column(None, pa.Check.isin([True, False]), nullable=False)


def _day(*, nullable: bool = False) -> pa.Column:
    import pandera.pandas as pa

    return pa.Column(None, nullable=nullable)


def _table(columns: dict[str, pa.Column], unique: list[str] | None, *checks: pa.Check) -> Schema:
    import pandera.pandas as pa

    return pa.DataFrameSchema(columns, checks=list(checks), unique=unique)


def _row_check(rule: Callable[[pd.DataFrame], pd.Series[bool]], name: str) -> pa.Check:
    """A rule over whole rows; rows where a value is missing are left to the columns' own checks."""
    import pandera.pandas as pa

    return pa.Check(rule, name=name, ignore_na=True)


def _adjustment() -> pa.Column:
    return _one_of(["raw", "split", "total_return"])


def _values(enumeration: type[Any]) -> list[str]:
    return [str(member.value) for member in enumeration]


@cache
def symbols_schema() -> Schema:
    columns = {
        "symbol": _text(), "instrument_id": _text(r"^.+\.[A-Z0-9]{4}$"), "mic": _text(r"^[A-Z0-9]{4}$"),
        "name": _text(blank=True, nullable=True), "currency": _text(_CURRENCY), "lot": _count(1),
        "fractionable": _flag(), "shortable": _flag(), "tradable": _flag(), "verified": _flag(),
    }  # fmt: skip
    return _table(columns, ["symbol"])


@cache
def bars_schema() -> Schema:
    """One session's bars, or a few sessions': the rules of `quality` that need no calendar."""
    price = _number(above=0.0)
    columns = {
        "symbol": _text(), "session": _day(), "open": price, "high": price, "low": price, "close": price,
        "volume": _number(0.0), "adjustment": _adjustment(), "synthetic": _flag(), "source": _text(),
    }  # fmt: skip
    above, below = 1 + TOLERANCE, 1 - TOLERANCE
    return _table(
        columns, ["symbol", "session"],
        _row_check(lambda f: f["low"] <= f["high"] * above, "low_not_above_high"),
        _row_check(lambda f: f["open"].between(f["low"] * below, f["high"] * above), "open_within_range"),
        _row_check(lambda f: f["close"].between(f["low"] * below, f["high"] * above), "close_within_range"),
    )  # fmt: skip


@cache
def actions_schema() -> Schema:
    columns = {
        "symbol": _text(), "ex_session": _day(),
        "kind": _one_of(["split", "dividend", "spin_off", "rights", "rename", "delisting"]),
        "ratio": _number(above=0.0, nullable=True), "amount": _number(above=0.0, nullable=True),
        "currency": _text(_CURRENCY, nullable=True), "new_symbol": _text(nullable=True),
    }  # fmt: skip
    return _table(
        columns, None,
        _row_check(lambda f: (f["kind"] != "split") | f["ratio"].notna(), "split_has_ratio"),
        _row_check(lambda f: (f["kind"] != "dividend") | f["amount"].notna(), "dividend_has_amount"),
        _row_check(lambda f: (f["kind"] != "rename") | f["new_symbol"].notna(), "rename_has_new_symbol"),
    )  # fmt: skip


@cache
def prices_schema() -> Schema:
    """The view `prices`: what the source's adjustment promises is there, and what it does not give is not."""
    families = {
        f"{family}_{name}": _number(above=0.0, nullable=True)
        for family in ("raw", "split") for name in ("open", "high", "low", "close")
    }  # fmt: skip
    columns = {
        "symbol": _text(), "session": _day(), **families, "volume": _number(0.0),
        "total_return_close": _number(above=0.0), "adjustment": _adjustment(), "synthetic": _flag(),
    }  # fmt: skip
    return _table(
        columns, ["symbol", "session"],
        _row_check(lambda f: f["raw_close"].notna() == (f["adjustment"] == "raw"), "raw_only_from_raw"),
        _row_check(
            lambda f: f["split_close"].notna() == (f["adjustment"] != "total_return"), "split_where_known"
        ),
    )  # fmt: skip


@cache
def fx_rates_schema() -> Schema:
    columns = {
        "base": _text(_CURRENCY), "quote": _text(_CURRENCY), "session": _day(), "rate": _number(above=0.0),
        "source": _text(),
    }  # fmt: skip
    return _table(columns, ["base", "quote", "session"])


@cache
def signals_schema() -> Schema:
    columns = {
        "strategy": _text(), "session": _day(), "weights_date": _day(), "asset_id": _text(), "weight": _number(),
        "line": _count(1), "path": _text(), "file_hash": _text(_HASH),
    }  # fmt: skip
    return _table(columns, ["strategy", "session", "asset_id"])


@cache
def target_weights_schema() -> Schema:
    columns = {
        "portfolio": _text(), "session": _day(), "symbol": _text(blank=True), "instrument_id": _text(blank=True),
        "target": _count(1), "target_weight": _decimal(), "status": _text(),
    }  # fmt: skip
    return _table(columns, ["portfolio", "session", "target"])


@cache
def target_attribution_schema() -> Schema:
    columns = {
        "portfolio": _text(), "session": _day(), "target": _count(1), "symbol": _text(blank=True),
        "instrument_id": _text(blank=True), "strategy": _text(), "asset_id": _text(), "line": _count(1),
        "file_hash": _text(_HASH), "weight_stated": _decimal(), "contribution": _decimal(),
    }  # fmt: skip
    return _table(columns, ["portfolio", "session", "target", "strategy", "asset_id"])


@cache
def plan_lines_schema() -> Schema:
    from scizor_dagster.planning.model import Reason

    columns = {
        "plan_id": _text(_HASH), "portfolio": _text(), "session": _day(), "symbol": _text(blank=True),
        "instrument_id": _text(blank=True), "current_qty": _decimal(), "target_weight": _decimal(),
        "price": _decimal(nullable=True), "price_session": _day(nullable=True), "price_source": _text(blank=True),
        "target_qty": _decimal(nullable=True), "delta_qty": _decimal(), "reason": _one_of(_values(Reason)),
        "working_qty": _decimal(nullable=True), "kept_qty": _decimal(nullable=True),
    }  # fmt: skip
    return _table(columns, ["plan_id", "symbol", "asset_ids"])


@cache
def planned_orders_schema() -> Schema:
    from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side, TimeInForce
    from scizor_dagster.planning.model import ORDERING_REASONS

    positive = r"^(?!0+(\.0+)?$)\d+(\.\d+)?([eE][-+]?\d+)?$"
    columns = {
        "plan_id": _text(_HASH), "portfolio": _text(), "session": _day(), "client_order_id": _text(r"^\S{1,48}$"),
        "symbol": _text(), "instrument_id": _text(), "side": _one_of(_values(Side)), "qty": _text(positive),
        "order_type": _one_of(_values(OrderType)), "time_in_force": _one_of(_values(TimeInForce)),
        "intent": _one_of(_values(PositionIntent)), "price_used": _text(positive), "leg": _count(1),
        "slice": _count(1), "phase": _count(1), "reason": _one_of([str(reason) for reason in ORDERING_REASONS]),
        "limit_price": _decimal(nullable=True), "take_profit": _decimal(nullable=True),
        "stop_loss": _decimal(nullable=True),
    }  # fmt: skip
    return _table(columns, ["client_order_id"])


@cache
def order_results_schema() -> Schema:
    from scizor_dagster.brokers.protocol import Side

    columns = {
        "portfolio": _text(), "session": _day(), "client_order_id": _text(), "symbol": _text(),
        "side": _one_of(_values(Side)), "planned_qty": _decimal(), "sent_qty": _decimal(), "filled_qty": _decimal(),
        "average_price": _decimal(nullable=True), "fees": _decimal(), "price_used": _decimal(), "state": _text(),
        "slippage_bps": _number(nullable=True), "reason": _text(blank=True),
    }  # fmt: skip
    return _table(columns, ["client_order_id"])


@cache
def reconciliations_schema() -> Schema:
    counts = {name: _count(0) for name in ("orders", "filled", "working", "breaks")}
    columns = {
        "portfolio": _text(), "account": _text(), "session": _day(), "state": _text(), **counts,
        "pass": _text(nullable=True),
    }  # fmt: skip
    return _table(columns, ["portfolio", "session", "pass"])


@cache
def breaks_schema() -> Schema:
    columns = {
        "portfolio": _text(), "account": _text(), "session": _day(), "kind": _text(),
        "expected": _text(blank=True), "found": _text(blank=True), "severity": _text(), "remedy": _text(),
    }  # fmt: skip
    return _table(columns, None)


@cache
def end_of_day_positions_schema() -> Schema:
    columns = {
        "portfolio": _text(), "session": _day(), "symbol": _text(), "qty": _decimal(), "broker_qty": _decimal(),
        "target_qty": _decimal(nullable=True), "price": _number(above=0.0, nullable=True),
        "market_value": _number(nullable=True),
    }  # fmt: skip
    return _table(columns, ["portfolio", "session", "symbol"])


@cache
def performance_schema() -> Schema:
    columns = {
        "portfolio": _text(), "session": _day(), "equity": _number(), "cash": _number(), "market_value": _number(),
        "flows": _number(), "fees": _number(), "return": _number(nullable=True),
        "cumulative_return": _number(nullable=True), "drawdown": _number(nullable=True),
        "turnover": _number(0.0, nullable=True), "unpriced": _count(0), "adjustment": _text(), "synthetic": _flag(),
        "account_money": _number(nullable=True), "earlier_flows": _number(nullable=True),
        "account": _text(nullable=True), "venue": _text(nullable=True),
    }  # fmt: skip
    return _table(columns, ["portfolio", "session"])


@cache
def order_costs_schema() -> Schema:
    from scizor_dagster.brokers.protocol import Side

    exact = ("planned_qty", "sent_qty", "filled_qty", "unit_factor", "dividend", "filled_value", "fees")
    perhaps = (
        "decision_price", "arrival_price", "open_price", "close_price", "vwap_price", "decision_value", "delay",
        "spread", "impact", "missed", "total", "half_spread_bps", "replanned_qty",
    )  # fmt: skip
    columns = {
        "portfolio": _text(), "session": _day(), "client_order_id": _text(), "symbol": _text(),
        "side": _one_of(_values(Side)), "kind": _one_of(["order", "exit"]), "state": _text(), "venue": _text(),
        "currency": _text(_CURRENCY), **{name: _decimal() for name in exact},
        **{name: _decimal(nullable=True) for name in perhaps}, "decision_source": _text(), "arrival_source": _text(),
        "spread_source": _text(), "total_bps": _number(nullable=True), "adv": _number(0.0, nullable=True),
        "volatility": _number(0.0, nullable=True), "adjustment": _adjustment(), "synthetic": _flag(),
    }  # fmt: skip
    return _table(columns, ["client_order_id"])


@cache
def cost_models_schema() -> Schema:
    columns = {
        "scope": _one_of(["portfolio", "market"]), "name": _text(), "session": _day(),
        "half_spread_bps": _number(0.0), "impact_coefficient": _number(0.0), "half_spread_error": _number(above=0.0),
        "impact_error": _number(above=0.0), "commission": _text(), "orders": _count(0), "sessions": _count(0),
        "fitted": _flag(), "note": _text(),
    }  # fmt: skip
    return _table(columns, ["scope", "name", "session"])


def _profit(*key: str, **more: pa.Column) -> Schema:
    exact = {name: _decimal() for name in ("qty", "value", "cost", "realised", "unrealised", "income", "fees")}
    columns = {
        "portfolio": _text(), "session": _day(), **{name: _text(blank=True) for name in key}, **exact,
        "price": _decimal(nullable=True), "inflow": _decimal(), "profit": _decimal(), **more,
    }  # fmt: skip
    return _table(columns, ["portfolio", "session", *key])


@cache
def profit_by_instrument_schema() -> Schema:
    return _profit("symbol", sector=_text())


@cache
def profit_by_strategy_schema() -> Schema:
    return _profit("strategy", "symbol")


@cache
def backtest_equity_schema() -> Schema:
    paid = ("commission", "spread", "slippage", "impact", "traded")
    columns = {
        "session": _day(), "equity": _number(), "cash": _number(), "market_value": _number(),
        "return": _number(nullable=True), "cumulative_return": _number(nullable=True),
        "drawdown": _number(nullable=True), "turnover": _number(0.0), **{name: _number(0.0) for name in paid},
    }  # fmt: skip
    return _table(columns, ["session"])


SCHEMAS: dict[str, Callable[[], Schema]] = {
    "symbols": symbols_schema,
    "bars": bars_schema,
    "corporate_actions": actions_schema,
    "prices": prices_schema,
    "fx_rates": fx_rates_schema,
    "signals": signals_schema,
    "target_weights": target_weights_schema,
    "target_attribution": target_attribution_schema,
    "plan_lines": plan_lines_schema,
    "planned_orders": planned_orders_schema,
    "order_results": order_results_schema,
    "reconciliations": reconciliations_schema,
    "breaks": breaks_schema,
    "end_of_day_positions": end_of_day_positions_schema,
    "performance": performance_schema,
    "order_costs": order_costs_schema,
    "cost_models": cost_models_schema,
    "profit_by_instrument": profit_by_instrument_schema,
    "profit_by_strategy": profit_by_strategy_schema,
    "backtest_equity": backtest_equity_schema,
}
"""Schema of each table or view, by its name in the lake."""


def schema_failures(schema: Schema, frame: pd.DataFrame) -> pd.DataFrame:
    """Everything in `frame` that breaks `schema`: columns `FAILURE_COLUMNS`, empty when all is well.

    `row` is the frame's index label, None where the failure is about the table; `value` is text.
    """
    import pandas as pd
    from pandera.errors import SchemaErrors

    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as error:
        return _failure_rows(error.failure_cases)
    return pd.DataFrame({name: pd.Series(dtype="object") for name in FAILURE_COLUMNS})


def _failure_rows(cases: pd.DataFrame) -> pd.DataFrame:
    """One row for each failed value, and one for each row that fails a rule over several columns."""
    import pandas as pd

    values = cases["failure_case"].astype("object").map(str)
    # A rule over a column that is missing cannot run; the missing column is already named.
    cases, values = cases[~values.str.startswith("KeyError(")], values[~values.str.startswith("KeyError(")]
    whole = (cases["schema_context"] == "DataFrameSchema") & cases["index"].notna()
    failures = pd.DataFrame(
        {
            "column": cases["column"].astype("object").where(~whole, None),
            "check": cases["check"].map(str),
            "row": cases["index"].astype("object"),
            "value": values.where(~whole, cases["column"].map(str) + "=" + values),
        }
    )
    joined = failures[whole].groupby(["check", "row"], sort=False)["value"].agg(", ".join).reset_index()
    return pd.concat([failures[~whole], joined.assign(column=None)], ignore_index=True)[list(FAILURE_COLUMNS)]
