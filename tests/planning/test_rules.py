"""Rules from a configuration and from rules files, today's and the older system's."""

from dataclasses import replace
from decimal import Decimal

import pytest

from scizor_dagster.config import load_config
from scizor_dagster.errors import ConfigError
from scizor_dagster.planning.rules import PlanningRules, rules_from
from scizor_dagster.planning.rules_file import load_rules

OLDER = """
alp_execution: {max_orders: 500, poll_fills: 1}
alpaca: {env: paper}
execution: {enable_idempotency: false, mode_on_buy: bracket, mode_on_sell: market, out_plan: ./x.csv,
  out_orders: ./y.csv, sl_pct: 0.03, time_in_force: DAY, tp_pct: 0.05}
idempotency: {client_order_id_prefix: SBX, enable_client_order_id: true}
logging: {level: info}
mapping: {file: ./m.csv, id_column: gvkey, symbol_column: tic}
pricing: {source: alpaca_snapshot, fallback: last_bar}
risk:
  fractional_shares: {adjust_for_overflow: true, enabled: true, max_total_weight: 1.0,
    min_order_notional: 2.0, quantity_precision: 2}
  max_notional_per_order: 200000
  max_share_per_order: 100000
  max_total_notional: 1000000
  min_cash_buffer_pct: 0.02
  price_source: alpaca_snapshot
  price_tolerance_pct: 0.05
  reject_if_price_missing: true
scheduler: {m1: {mode: select, pick: drl}, time: "09:00"}
weights: {allow_cash: false, allow_short: false, blacklist: [], max_weight: 0.2}
"""


def rules_file(folder, text):
    path = folder / "rules.yaml"
    path.write_text(text)
    return path


def test_an_empty_rules_file_is_a_plain_rebalance(tmp_path):
    assert load_rules(rules_file(tmp_path, ""), {}) == (PlanningRules(), ())


def test_the_older_systems_layout_is_read_and_what_has_no_effect_is_named(tmp_path):
    rules, notes = load_rules(rules_file(tmp_path, OLDER), {})
    assert rules == PlanningRules(
        min_order_notional=Decimal(2),
        max_notional_per_order=Decimal(200_000),
        max_share_per_order=Decimal(100_000),
        max_total_notional=Decimal(1_000_000),
        min_cash_buffer_pct=Decimal("0.02"),
        mode_on_buy="bracket",
        max_weight=Decimal("0.2"),
        client_order_id_prefix="SBX",
    )
    assert any("pricing has no effect" in note for note in notes)


def test_the_projects_own_configuration_serves_as_a_rules_file(project_root):
    rules, notes = load_rules(project_root / "config" / "config.yaml", {})
    assert rules.min_cash_buffer_pct == Decimal("0.02")
    assert any("markets" in note for note in notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "risk:\n  fractional_shares:\n    quantity_precison: 2\n",
            "rules.yaml:3.*quantity_precison.*not a known key",
        ),
        ("risc: {}\n", "rules.yaml:1.*risc.*not a known key"),
        ("risk:\n  min_cash_buffer_pct: .nan\n", "rules.yaml:2"),
        ("risk:\n  max_total_notional: 0\n", "rules.yaml:2.*greater than 0"),
        ("risk:\n  fractional_shares: {quantity_precision: 10}\n", "rules.yaml:2"),
        ("- 1\n", "mapping of sections"),
        (
            "risk: {max_notional_per_order: 3, fractional_shares: {min_order_notional: 2}}\n",
            "less than twice",
        ),
        ("planning:\n  max_turnover: 0\n", "rules.yaml:2.*greater than 0"),
        ("planning:\n  max_turnover: .nan\n", "rules.yaml:2"),
        ("planning:\n  max_participation: 1.5\n", "rules.yaml:2.*planning.max_participation"),
        ("planning:\n  max_price_move: null\n", "rules.yaml:2"),
        ("planning:\n  band_relative: 1.0\n", "rules.yaml:2.*less than 1"),
        ("planning:\n  slippage_allowance_pct: 0.5\n", "rules.yaml:2"),
        ("planning:\n  trade_to: middle\n", "rules.yaml:2"),
        ("planning:\n  overrides:\n    GME: sell_all\n", "rules.yaml:3.*planning.overrides.GME"),
        ("planning:\n  overrides:\n    gme: no_buy\n", "rules.yaml:2.*'gme' is not a ticker"),
        ("planning:\n  bands: 1\n", "rules.yaml:2.*planning.bands.*not a known key"),
        ("execution:\n  sl_atr: 0\n", "rules.yaml:2.*greater than 0"),
        ("execution:\n  mode_on_sell: bracket\n", "rules.yaml:2"),
    ],
)
def test_a_bad_rules_file_is_refused_by_line(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load_rules(rules_file(tmp_path, text), {})


def test_the_planning_section_becomes_exact_rules(tmp_path):
    text = """
planning: {band_absolute: 0.005, band_relative: 0.25, trade_to: edge, max_turnover: 1.2, max_participation: 0.05,
  max_price_move: unlimited, price_collar: 0.03, slippage_allowance_pct: 0.001, first_parcel: false,
  manage_foreign: true, overrides: {GME: no_buy, "TRUE": never_touch}}
execution: {mode_on_buy: bracket, mode_on_sell: moc, tp_atr: 3, sl_atr: 1.5}
"""
    assert load_rules(rules_file(tmp_path, text), {})[0] == PlanningRules(
        band_absolute=Decimal("0.005"),
        band_relative=Decimal("0.25"),
        trade_to="edge",
        max_turnover=Decimal("1.2"),
        max_participation=Decimal("0.05"),
        max_price_move=None,
        price_collar=Decimal("0.03"),
        slippage_allowance_pct=Decimal("0.001"),
        first_parcel=False,
        manage_foreign=True,
        overrides=(("GME", "no_buy"), ("TRUE", "never_touch")),
        mode_on_buy="bracket",
        mode_on_sell="moc",
        tp_atr=Decimal(3),
        sl_atr=Decimal("1.5"),
    )


def test_a_missing_rules_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_rules(tmp_path / "absent.yaml", {})


def test_a_portfolios_configuration_becomes_exact_rules(project_root):
    portfolio = load_config(project_root / "config" / "config.yaml", {}).portfolios["main"]
    rules = rules_from(portfolio)
    assert rules.quantity_precision == portfolio.risk.fractional_shares.quantity_precision
    assert rules.min_cash_buffer_pct == Decimal(str(portfolio.risk.min_cash_buffer_pct))
    assert rules.max_weight == Decimal("0.25")


def test_equal_rules_have_equal_text_and_every_rule_is_in_it():
    base = PlanningRules()
    assert replace(base, min_order_notional=Decimal("1.00")).as_text() == base.as_text()
    assert replace(base, sl_pct=Decimal("0.04")).as_text() != base.as_text()
    assert replace(base, overrides=(("A", "no_buy"),)).as_text() != base.as_text()
