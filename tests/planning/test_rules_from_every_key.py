"""Each key of a configuration reaches the rule of its name, and no other."""

from dataclasses import fields
from decimal import Decimal
from pathlib import Path

from scizor_dagster.planning.rules import PlanningRules
from scizor_dagster.planning.rules_file import load_rules

EVERY_KEY = """
risk:
  fractional_shares: {enabled: false, min_order_notional: 3, quantity_precision: 4, max_total_weight: 1.3,
    adjust_for_overflow: false}
  max_notional_per_order: 5001
  max_share_per_order: 602
  max_total_notional: 70003
  min_cash_buffer_pct: 0.04
planning: {band_absolute: 0.005, band_relative: 0.25, trade_to: edge, max_turnover: 1.2, max_participation: 0.05,
  max_price_move: 0.45, price_collar: 0.03, slippage_allowance_pct: 0.001, first_parcel: false, manage_foreign: true,
  overrides: {GME: no_buy}}
execution: {mode_on_buy: bracket, mode_on_sell: moc, limit_offset_pct: 0.006, tp_pct: 0.07, sl_pct: 0.08, tp_atr: 3,
  sl_atr: 1.5}
weights: {allow_short: true, max_weight: 0.35, blacklist: [ZED, ABC]}
idempotency: {client_order_id_prefix: XYZ}
"""
EXPECTED = PlanningRules(
    fractional=False,
    min_order_notional=Decimal(3),
    quantity_precision=4,
    max_total_weight=Decimal("1.3"),
    adjust_for_overflow=False,
    max_notional_per_order=Decimal(5001),
    max_share_per_order=Decimal(602),
    max_total_notional=Decimal(70003),
    min_cash_buffer_pct=Decimal("0.04"),
    mode_on_buy="bracket",
    mode_on_sell="moc",
    limit_offset_pct=Decimal("0.006"),
    tp_pct=Decimal("0.07"),
    sl_pct=Decimal("0.08"),
    tp_atr=Decimal(3),
    sl_atr=Decimal("1.5"),
    allow_short=True,
    max_weight=Decimal("0.35"),
    blacklist=("ABC", "ZED"),
    client_order_id_prefix="XYZ",
    band_absolute=Decimal("0.005"),
    band_relative=Decimal("0.25"),
    trade_to="edge",
    max_turnover=Decimal("1.2"),
    max_participation=Decimal("0.05"),
    max_price_move=Decimal("0.45"),
    price_collar=Decimal("0.03"),
    slippage_allowance_pct=Decimal("0.001"),
    first_parcel=False,
    manage_foreign=True,
    overrides=(("GME", "no_buy"),),
)


def test_every_key_reaches_the_rule_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(EVERY_KEY)
    assert load_rules(path, {}) == (EXPECTED, ())


def test_no_rule_is_left_at_what_it_is_anyway() -> None:
    """Else the test above could not tell a key that is passed over. The tolerance is fixed: it has no key."""
    plain = PlanningRules()
    names = {field.name for field in fields(PlanningRules)}
    assert {name for name in names if getattr(plain, name) == getattr(EXPECTED, name)} == {"sum_tolerance"}
