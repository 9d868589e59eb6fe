"""What is known to go wrong with brokers, by the number of its catalogue, and the test that stands for each.

What belongs here: the table. What does not: the tests themselves, which stand where the code is that they test.
`A` and `I` are failures at Alpaca and at Interactive Brokers, `S` scenarios of a TWS, `P` pitfalls of systems
that trade through brokers.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.brokers.alpaca.test_known_failures import SHOWN as AT_ALPACA

TESTS = Path(__file__).resolve().parents[1]
TWS = "brokers/ibkr/test_scenarios"
TWS_DOOR = "paper_exchange/tws_door/test"
ALPACA = "brokers/alpaca/test"
PRICES = "market_data/test_ibkr"
EXECUTION = "execution/test"
RECONCILE = "reconciliation/test_reconcile"
PLANS = "planning/test"

SHOWN: dict[str, tuple[str, str]] = {
    "A11": (RECONCILE, "a_bought_position_that_the_broker_does_not_show_is_an_error_with_both_quantities"),
    "I1": (TWS, "after_the_servers_are_back_orders_go_out_again"),
    "I2": (TWS, "a_fill_while_nobody_was_connected_is_found_in_the_executions"),
    "I3": (TWS, "a_nightly_restart_that_forgets_ids_gives_two_orders_one_id_and_each_its_own_reference"),
    "I4": (TWS, "two_orders_with_one_reference_are_said_to_be_two"),
    "I5": (TWS, "a_code_that_the_library_takes_for_an_end_leaves_the_order_alive"),
    "I6": (f"{TWS_DOOR}_orders", "a_change_that_is_refused_leaves_the_order_as_it_is"),
    "I7": (TWS, "statuses_that_are_missing_doubled_or_late_change_nothing"),
    "I8": (TWS, "a_correction_takes_the_place_of_what_it_corrects"),
    "I9": (TWS, "executions_that_tws_no_longer_shows_are_not_called_none"),
    "I10": (TWS, "an_order_that_is_stuck_stays_open_and_is_not_ended_by_its_silence"),
    "I11": (TWS, "absence_is_not_proven_where_one_answer_has_no_end"),
    "I12": (f"{TWS_DOOR}_sessions", "an_order_placed_by_hand_belongs_to_client_zero_once_it_binds"),
    "I13": (TWS, "an_execution_that_was_not_told_or_came_after_its_status_counts_once"),
    "I14": (TWS, "a_fill_while_a_cancel_is_pending_wins"),
    "I15": (TWS, "orders_that_are_sent_at_once_all_arrive_once"),
    "I16": (TWS, "a_restart_between_two_questions_goes_unnoticed"),
    "I17": (TWS, "a_connection_that_is_dead_without_a_word_is_given_up_and_made_anew"),
    "I18": (TWS, "an_ambiguous_symbol_is_refused"),
    "I19": (PRICES, "an_error_is_no_empty_history_and_leaves_the_other_symbols_be"),
    "S1": (TWS, "an_order_goes_from_its_acknowledgement_to_its_fill_and_position"),
    "S2": (PRICES, "a_restart_in_the_middle_of_a_history_fails_and_the_next_run_has_it_whole"),
    "S3": (PRICES, "an_answer_that_does_not_come_is_a_failure_of_that_symbol_and_not_an_empty_history"),
    "S4": (PRICES, "a_pacing_violation_waits_and_asks_again"),
    "S5": (TWS, "an_ambiguous_symbol_is_refused"),
    "S6": (TWS, "a_rejection_that_leaves_the_order_inactive_does_not_hang"),
    "S7": (TWS, "an_order_that_was_taken_before_the_connection_dropped_is_found_and_not_sent_again"),
    "S8": (TWS, "an_order_that_was_lost_with_the_connection_is_absent_and_goes_out_once"),
    "S9": (TWS, "a_fill_while_nobody_was_connected_is_found_in_the_executions"),
    "S10": (TWS, "a_code_that_the_library_takes_for_an_end_leaves_the_order_alive"),
    "S11": (TWS, "an_order_before_the_open_is_alive_with_its_warning"),
    "S12": (TWS, "a_client_id_in_use_is_named"),
    "S13": (PRICES, "servers_that_are_lost_during_a_history_end_in_an_error_and_come_back"),
    "S14": (TWS, "the_connection_stands_and_orders_go_out"),
    "S15": (TWS, "a_partial_fill_that_is_cancelled_keeps_what_it_has"),
    "S16": (TWS, "a_bracket_is_three_orders_of_one_family"),
    "S17": (TWS, "an_order_of_another_client_is_found_by_its_reference_and_not_cancelled_from_here"),
    "S18": (TWS, "an_order_is_refused_and_reading_goes_on"),
    "S19": (TWS, "another_login_than_to_the_paper_account_that_is_pinned_gets_no_order"),
    "S20": (TWS, "steps_of_the_australian_exchange_are_kept"),
    "S20 parcel": (f"{PLANS}_rule_laws", "an_australian_books_first_purchases_are_at_least_the_parcel"),
    "S21": (TWS, "statuses_that_are_missing_doubled_or_late_change_nothing"),
    "S22": (TWS, "money_in_another_currency_is_not_taken_for_ours"),
    "P1": (
        "torture/test_deaths",
        "processes_killed_at_any_line_double_nothing_and_lose_nothing_whatever_the_broker_is_like",
    ),
    "P2": (f"{ALPACA}_failures", "an_order_whose_reply_is_lost_is_unknown_and_is_found_and_is_one_order"),
    "P3": (f"{ALPACA}_failures", "positions_may_lag_behind_fills_and_fills_do_not"),
    "P4": (TWS, "a_code_that_the_library_takes_for_an_end_leaves_the_order_alive"),
    "P5": (TWS, "a_fill_while_nobody_was_connected_is_found_in_the_executions"),
    "P6": (TWS, "a_correction_takes_the_place_of_what_it_corrects"),
    "P7": (f"{EXECUTION}_tracking", "a_fill_that_arrives_after_the_end_is_taken_in_by_the_next_look"),
    "P8": (f"{EXECUTION}_tracking", "more_filled_than_ordered_is_accepted_as_the_truth_and_said"),
    "P9": (PRICES, "a_symbol_without_bars_or_without_a_contract_is_absent"),
    "P10": (PRICES, "a_session_counts_once_its_prices_are_final"),
    "P11": ("reconciliation/test_looking", "105_a_position_that_no_trade_can_have_made_is_frozen"),
    "P12": (f"{EXECUTION}_executor", "prices_that_are_not_raw_never_size_a_live_order"),
    "P14": (f"{EXECUTION}_release", "a_scaled_quantity_is_rounded_down_to_the_instruments_step"),
    "P15": (f"{PLANS}_planner", "where_only_whole_shares_trade_a_full_exit_leaves_the_fraction_and_says_so"),
    "P16": (f"{EXECUTION}_release", "the_buys_of_a_release_never_cost_more_than_its_cash_at_their_prices"),
    "P17": ("paper_exchange/alpaca/test_errors", "a_request_that_earns_it_gets_the_recorded_error"),
    "P18": ("brokers/alpaca/test_known_failures", "a_wash_trade_is_a_refusal_with_its_reason"),
    "P19": (f"{PLANS}_shorting", "an_account_below_the_brokers_equity_for_shorts_opens_none_and_says_so"),
    "P20": (f"{PLANS}_planner", "crossing_zero_closes_whole_before_it_opens_the_other_side"),
    "P21": (f"{EXECUTION}_unknown", "a_batch_with_an_unknown_order_is_driven_to_its_end_for_all_other_instruments"),
    "P22": (f"{ALPACA}_failures", "a_balance_that_is_missing_is_not_zero"),
    "P24": (RECONCILE, "each_difference_is_an_error_of_its_own_kind"),
    "P25": (f"{ALPACA}_failures", "a_clock_that_contradicts_the_calendar_stops_orders_before_they_are_sent"),
    "P26": ("paper_exchange/alpaca/test_data", "a_bars_time_is_midnight_in_new_york_in_summer_and_in_winter"),
    "P27": (TWS, "steps_of_the_australian_exchange_are_kept"),
    "P28": (TWS, "money_in_another_currency_is_not_taken_for_ours"),
    "P29": (TWS, "a_class_of_shares_is_spelled_with_a_dot_here_and_a_space_there"),
    "P30": (RECONCILE, "a_position_that_no_portfolio_owns_is_information"),
    "P31": (f"{EXECUTION}_tracking", "a_bracket_is_working_until_its_exits_have_ended_and_their_fills_are_ours"),
    "P32": (f"{EXECUTION}_release", "buying_power_bounds_a_release_even_where_the_portfolio_has_cash"),
    "P33": (TWS, "a_tws_that_fails_while_it_is_connected_to_is_unavailable_and_may_be_tried_again"),
    "P34": (PRICES, "a_pacing_violation_waits_and_asks_again"),
    "P35": (f"{EXECUTION}_executor", "running_a_finished_session_again_sends_nothing"),
}
"""Where the test is and its name, without `test_`."""
OF_NO_BROKER = {13, 23, 36}
"""Pitfalls of research, of limits and of taxes."""


@cache
def defined_in(module: str) -> frozenset[str]:
    tree = ast.parse((TESTS / f"{module}.py").read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("number", SHOWN)
def test_every_entry_of_the_catalogue_has_its_test(number):
    module, name = SHOWN[number]
    assert f"test_{name}" in defined_in(module)


def test_no_scenario_of_a_tws_leaves_an_error_of_the_decoder():
    assert "nothing_undecoded" in defined_in("brokers/ibkr/conftest")


def test_no_entry_of_the_catalogue_is_left_out():
    known = set(SHOWN) | set(AT_ALPACA)
    wanted = {f"A{n}" for n in range(1, 18)} | {f"I{n}" for n in range(1, 20)} | {f"S{n}" for n in range(1, 23)}
    wanted |= {f"P{n}" for n in range(1, 37) if n not in OF_NO_BROKER}
    assert wanted <= known
