"""Schemas accept what the product writes and name every value that breaks a promise."""

from datetime import date

import pandas as pd
import pytest

from scizor_dagster.lake.schemas import FAILURE_COLUMNS, SCHEMAS, schema_failures
from scizor_dagster.lake.tables import TABLES

HASH = "a" * 64
DAY = date(2024, 1, 2)
GOOD = {
    "symbols": {
        "symbol": "A", "instrument_id": "A.XNAS", "mic": "XNAS", "name": "", "currency": "USD", "lot": 1,
        "fractionable": True, "shortable": True, "tradable": True, "verified": False,
    },
    "bars": {
        "symbol": "A", "session": DAY, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 0.0,
        "adjustment": "raw", "synthetic": True, "source": "sample",
    },
    "corporate_actions": {
        "symbol": "A", "ex_session": DAY, "kind": "split", "ratio": 2.0, "amount": float("nan"), "currency": None,
        "new_symbol": None,
    },
    "prices": {
        "symbol": "A", "session": DAY,
        **{f"{kind}_{name}": 1.0 for kind in ("raw", "split") for name in ("open", "high", "low", "close")},
        "volume": 1.0, "total_return_close": 1.0, "adjustment": "raw", "synthetic": False,
    },
    "fx_rates": {"base": "AUD", "quote": "USD", "session": DAY, "rate": 0.65, "source": "test"},
    "signals": {
        "strategy": "s", "session": DAY, "weights_date": DAY, "asset_id": "001690", "weight": -0.5, "line": 2,
        "path": "w.csv", "file_hash": HASH,
    },
    "target_weights": {
        "portfolio": "main", "session": DAY, "symbol": "A", "instrument_id": "A.XNAS", "target": 1,
        "target_weight": "0.000000000000000000000001", "status": "ok",
    },
    "target_attribution": {
        "portfolio": "main", "session": DAY, "symbol": "", "instrument_id": "", "target": 1, "strategy": "s",
        "asset_id": "A", "line": 2, "file_hash": HASH, "weight_stated": "-0.5", "contribution": "0",
    },
    "plan_lines": {
        "plan_id": HASH, "portfolio": "main", "session": DAY, "symbol": "A", "instrument_id": "A.XNAS",
        "current_qty": "-1.5", "target_weight": "0", "price": None, "price_session": None, "price_source": "",
        "target_qty": None, "delta_qty": "1E-7", "reason": "no_price", "asset_ids": "A",
        "working_qty": "-2", "kept_qty": "3",
    },
    "planned_orders": {
        "plan_id": HASH, "portfolio": "main", "session": DAY, "client_order_id": "SCZ_20240102_1_A_buy_x",
        "symbol": "A", "instrument_id": "A.XNAS", "side": "buy", "qty": "0.5", "order_type": "market",
        "time_in_force": "day", "intent": "buy_to_open", "price_used": "10.01", "leg": 1, "slice": 1, "phase": 2,
        "reason": "open", "limit_price": None, "take_profit": None, "stop_loss": None,
    },
    "order_results": {
        "portfolio": "main", "session": DAY, "client_order_id": "x", "symbol": "A", "side": "sell",
        "planned_qty": "1", "sent_qty": "1", "filled_qty": "0", "average_price": None, "fees": "0",
        "price_used": "1", "state": "working", "slippage_bps": float("nan"), "reason": "",
    },
    "reconciliations": {
        "portfolio": "main", "account": "paper", "session": DAY, "state": "clean", "orders": 0, "filled": 0,
        "working": 0, "breaks": 0, "pass": "first",
    },
    "breaks": {
        "portfolio": "main", "account": "paper", "session": DAY, "kind": "position", "expected": "1", "found": "",
        "severity": "error", "remedy": "look",
    },
    "end_of_day_positions": {
        "portfolio": "main", "session": DAY, "symbol": "A", "qty": "1", "broker_qty": "1", "target_qty": None,
        "price": float("nan"), "market_value": float("nan"),
    },
    "performance": {
        "portfolio": "main", "session": DAY, "equity": 1.0, "cash": 1.0, "market_value": 0.0, "flows": 0.0,
        "fees": 0.0, "return": float("nan"), "cumulative_return": 0.1, "drawdown": -0.1, "turnover": 0.0,
        "unpriced": 0, "adjustment": "raw", "synthetic": True, "account_money": 0.0,
        "earlier_flows": 0.0, "account": "paper", "venue": None,
    },
    "profit_by_instrument": {
        "portfolio": "main", "session": DAY, "symbol": "A", "sector": "Energy", "qty": "1", "price": "2.5",
        "value": "2.5", "cost": "2", "realised": "0", "unrealised": "0.5", "income": "0", "fees": "0", "inflow": "0",
        "profit": "0.5",
    },
    "profit_by_strategy": {
        "portfolio": "main", "session": DAY, "strategy": "", "symbol": "", "qty": "-1", "price": None, "value": "0",
        "cost": "2", "realised": "0", "unrealised": "0.5", "income": "0", "fees": "0", "inflow": "0", "profit": "0.5",
    },
    "order_costs": {
        "portfolio": "main", "session": DAY, "client_order_id": "x", "symbol": "A", "side": "sell", "kind": "order",
        "state": "filled", "venue": "paper", "currency": "USD", "planned_qty": "1", "sent_qty": "1",
        "filled_qty": "1", "unit_factor": "1", "dividend": "0", "decision_price": None,
        "decision_source": "close of 2024-01-01", "arrival_price": "1", "arrival_source": "session open",
        "open_price": "1", "close_price": None, "vwap_price": None, "decision_value": None, "filled_value": "1",
        "delay": None, "spread": "0", "impact": "-0.1", "fees": "0", "missed": "0", "total": None,
        "half_spread_bps": "1", "spread_source": "venue", "total_bps": float("nan"), "adv": float("nan"),
        "volatility": 0.01, "adjustment": "raw", "synthetic": True, "replanned_qty": None,
    },
    "cost_models": {
        "scope": "portfolio", "name": "main", "session": DAY, "half_spread_bps": 2.5, "impact_coefficient": 1.0,
        "half_spread_error": 5.0, "impact_error": 0.5, "commission": "{}", "orders": 0, "sessions": 0,
        "fitted": False, "note": "assumed",
    },
    "backtest_equity": {
        "session": DAY, "equity": 1.0, "cash": -1.0, "market_value": 2.0, "return": float("nan"),
        "cumulative_return": float("nan"), "drawdown": float("nan"), "turnover": 0.0, "commission": 0.0, "spread": 0.0,
        "slippage": 0.0, "impact": 0.0, "traded": 0.0,
    },
}  # fmt: skip


def _failures(table: str, **changes: object) -> pd.DataFrame:
    return schema_failures(SCHEMAS[table](), pd.DataFrame([GOOD[table] | changes]))


def test_every_schema_has_an_example_and_belongs_to_a_table_or_the_view():
    assert set(GOOD) == set(SCHEMAS)
    assert set(SCHEMAS) <= set(TABLES) | {"prices"}


@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_a_good_row_has_no_failures(table):
    found = _failures(table)
    assert found.empty, found.to_string()
    assert tuple(found.columns) == FAILURE_COLUMNS


@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_a_frame_without_its_columns_names_each(table):
    found = schema_failures(SCHEMAS[table](), pd.DataFrame({"other": [1]}))
    assert set(GOOD[table]) - {"asset_ids"} <= set(found["value"])


@pytest.mark.parametrize(
    ("table", "changes", "column", "check"),
    [
        ("symbols", {"symbol": " "}, "symbol", "str_contains"),
        ("symbols", {"mic": "NASDAQ"}, "mic", "str_matches"),
        ("symbols", {"lot": 0}, "lot", "greater_than_or_equal_to"),
        ("bars", {"close": float("nan")}, "close", "not_nullable"),
        ("bars", {"open": float("inf")}, "open", "is_finite"),
        ("bars", {"low": 0.0}, "low", "greater_than(0.0)"),
        ("bars", {"volume": -1.0}, "volume", "greater_than_or_equal_to(0.0)"),
        ("bars", {"adjustment": "adjusted"}, "adjustment", "isin"),
        ("bars", {"close": "1.5"}, "close", "dtype"),
        ("bars", {"close": 2.1}, None, "close_within_range"),
        ("bars", {"open": 0.4}, None, "open_within_range"),
        ("bars", {"high": 0.4}, None, "low_not_above_high"),
        ("corporate_actions", {"ratio": float("nan")}, None, "split_has_ratio"),
        ("corporate_actions", {"kind": "dividend"}, None, "dividend_has_amount"),
        ("corporate_actions", {"kind": "rename"}, None, "rename_has_new_symbol"),
        ("corporate_actions", {"ratio": -1.0}, "ratio", "greater_than(0.0)"),
        ("prices", {"adjustment": "split"}, None, "raw_only_from_raw"),
        ("prices", {"split_close": float("nan")}, None, "split_where_known"),
        ("fx_rates", {"rate": 0.0}, "rate", "greater_than(0.0)"),
        ("signals", {"weight": float("nan")}, "weight", "not_nullable"),
        ("signals", {"asset_id": 1690}, "asset_id", "is_text"),
        ("target_weights", {"target_weight": "Infinity"}, "target_weight", "str_matches"),
        ("target_attribution", {"contribution": 0.5}, "contribution", "is_text"),
        ("plan_lines", {"current_qty": "many"}, "current_qty", "str_matches"),
        ("plan_lines", {"reason": "because"}, "reason", "isin"),
        ("planned_orders", {"qty": "0.00"}, "qty", "str_matches"),
        ("planned_orders", {"qty": "-1"}, "qty", "str_matches"),
        ("planned_orders", {"client_order_id": "x" * 49}, "client_order_id", "str_matches"),
        ("planned_orders", {"side": "hold"}, "side", "isin"),
        ("performance", {"turnover": -1.0}, "turnover", "greater_than_or_equal_to(0.0)"),
    ],
)
def test_a_value_that_breaks_a_promise_is_named(table, changes, column, check):
    found = _failures(table, **changes)
    hits = found[found["check"].str.startswith(check)]
    assert len(hits) == 1, found.to_string()
    assert hits["row"].tolist() == [None if check == "dtype" else 0]
    assert (hits["column"].iloc[0] == column) or (column is None and pd.isna(hits["column"].iloc[0]))


def test_a_key_that_stands_twice_is_one_failure_for_each_row():
    found = schema_failures(SCHEMAS["bars"](), pd.DataFrame([GOOD["bars"]] * 2))
    assert found["check"].tolist() == ["multiple_fields_uniqueness"] * 2
    assert found["value"].tolist() == ["symbol=A, session=2024-01-02"] * 2


def test_float_noise_in_a_range_passes():
    assert _failures("bars", close=2.0 * (1 + 5e-7)).empty


def test_an_empty_frame_with_the_columns_passes():
    assert schema_failures(SCHEMAS["bars"](), pd.DataFrame([GOOD["bars"]]).head(0)).empty


def test_sessions_may_be_stamps():
    frame = pd.DataFrame([GOOD["bars"]]).assign(session=pd.Timestamp("2024-01-02"))
    assert schema_failures(SCHEMAS["bars"](), frame).empty
