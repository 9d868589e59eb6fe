"""Every word with which the exchange refuses has its answer at both doors."""

import ast

import pytest

from scizor_dagster.paper_exchange.alpaca_door.errors import BUSINESS_RULE, FORBIDDEN, MALFORMED, NOT_FOUND, wire_error
from scizor_dagster.paper_exchange.tws_door.words import refusal
from scizor_dagster.paper_exchange.venue_orders import Refused

ANSWERS: dict[str, tuple[int, int]] = {
    "account_not_authorized": (201, FORBIDDEN),
    "advanced_qty": (201, BUSINESS_RULE),
    "already_replaced": (201, BUSINESS_RULE),
    "asset_not_found": (200, BUSINESS_RULE),
    "auction_over": (201, BUSINESS_RULE),
    "below_minimum": (201, FORBIDDEN),
    "bracket_incomplete": (201, BUSINESS_RULE),
    "bracket_not_entry": (201, BUSINESS_RULE),
    "bracket_prices": (201, BUSINESS_RULE),
    "cash_quantity": (10244, BUSINESS_RULE),
    "chain_not_replaced": (201, BUSINESS_RULE),
    "cls_window": (201, FORBIDDEN),
    "duplicate_client_order_id": (103, MALFORMED),
    "execution_not_found": (201, BUSINESS_RULE),
    "extended_hours": (201, BUSINESS_RULE),
    "fractional_disabled": (201, FORBIDDEN),
    "fractional_kind": (201, BUSINESS_RULE),
    "fractional_not_day": (201, BUSINESS_RULE),
    "fractional_not_replaceable": (201, BUSINESS_RULE),
    "fractional_not_simple": (201, BUSINESS_RULE),
    "fractional_quantity": (10243, BUSINESS_RULE),
    "fractional_short": (201, BUSINESS_RULE),
    "hard_to_borrow": (201, BUSINESS_RULE),
    "insufficient_buying_power": (201, FORBIDDEN),
    "insufficient_qty": (201, FORBIDDEN),
    "invalid_client_order_id": (201, MALFORMED),
    "invalid_price": (321, MALFORMED),
    "invalid_qty": (434, MALFORMED),
    "invalid_setting": (201, MALFORMED),
    "invalid_time_in_force": (201, MALFORMED),
    "invalid_trail": (321, MALFORMED),
    "limit_price_required": (321, MALFORMED),
    "no_price": (201, BUSINESS_RULE),
    "not_changed": (201, BUSINESS_RULE),
    "not_fractionable": (201, FORBIDDEN),
    "not_shortable": (201, BUSINESS_RULE),
    "not_tradable": (460, BUSINESS_RULE),
    "notional_below_minimum": (201, MALFORMED),
    "notional_decimals": (201, BUSINESS_RULE),
    "notional_kind": (201, BUSINESS_RULE),
    "oco_kind": (201, BUSINESS_RULE),
    "oco_not_exit": (201, BUSINESS_RULE),
    "opg_window": (201, FORBIDDEN),
    "opposite_order_open": (201, FORBIDDEN),
    "order_filled": (104, BUSINESS_RULE),
    "order_not_found": (135, NOT_FOUND),
    "order_not_open": (103, BUSINESS_RULE),
    "oto_legs": (201, BUSINESS_RULE),
    "parent_not_found": (321, BUSINESS_RULE),
    "position_intent_mismatch": (201, BUSINESS_RULE),
    "price_not_on_tick": (110, BUSINESS_RULE),
    "qty_below_filled": (201, BUSINESS_RULE),
    "quantity_and_notional": (321, MALFORMED),
    "quantity_required": (321, MALFORMED),
    "replace_in_status": (201, BUSINESS_RULE),
    "session_closed": (201, BUSINESS_RULE),
    "short_not_allowed": (201, FORBIDDEN),
    "stop_limit_prices_required": (321, MALFORMED),
    "stop_price_beyond_market": (201, BUSINESS_RULE),
    "stop_price_required": (321, MALFORMED),
    "sub_penny_increment": (201, BUSINESS_RULE),
    "too_many_orders": (201, BUSINESS_RULE),
    "trading_suspended": (201, FORBIDDEN),
    "trail_required": (321, MALFORMED),
    "unexpected_legs": (321, BUSINESS_RULE),
    "unexpected_price": (321, MALFORMED),
    "wash_trade": (201, FORBIDDEN),
}
"""Code at the TWS, code at Alpaca. Where there is no other, 201 and 42210000 carry the exchange's own sentence."""
OF_THE_DOORS = {"account_not_authorized", "chain_not_replaced", "hard_to_borrow"}
"""Words that a door says itself."""


def raised_in(source: str) -> set[str]:
    """Words of `Refused(...)`, and of tables that are refusals: tuples of a word and a sentence."""
    words: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refused":
            words |= {first.value for first in node.args[:1] if isinstance(first, ast.Constant)}
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and ast.unparse(node).startswith("_MISSING"):
            words |= {pair.elts[0].value for pair in ast.walk(node) if isinstance(pair, ast.Tuple)}
    return words


def test_no_word_of_the_exchange_is_without_its_answer(project_root):
    words: set[str] = set()
    for path in sorted((project_root / "scizor_dagster" / "paper_exchange").rglob("*.py")):
        words |= raised_in(path.read_text())
    assert len(words) > 50
    assert words - set(ANSWERS) == set()
    assert set(ANSWERS) - words <= OF_THE_DOORS


@pytest.mark.parametrize(("word", "codes"), ANSWERS.items(), ids=ANSWERS)
def test_each_refusal_has_its_code_at_each_door_and_says_why(word, codes):
    refused = Refused(word, "the exchange's own sentence")
    error = wire_error(refused)
    assert (refusal(refused)[0], error.code) == codes
    assert refusal(refused)[1]
    assert error.message
