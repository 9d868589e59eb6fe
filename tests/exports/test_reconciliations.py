"""Reconciliations as files: the first and the newest one, whatever columns the lake has of them."""

from datetime import timedelta

from scizor_dagster.exports.reconciliations import recon_final, recon_single, recon_summary
from tests.exports.books import AT, facts, reconciled
from tests.exports.test_orders import rows_of

ORDER = {
    "client_order_id": "buy", "symbol": "AAPL", "side": "buy", "planned_qty": "10", "sent_qty": "10",
    "filled_qty": "10", "average_price": "10.1", "fees": "0", "price_used": "10", "state": "filled",
    "slippage_bps": 100.0, "reason": "open", "source": "reconciliation", "fetched_at": AT,
}  # fmt: skip
BREAK = {
    "kind": "position_differs", "symbol": "AAPL", "client_order_id": None, "expected": "10", "found": "9",
    "severity": "error", "remedy": "Look.", "fetched_at": AT,
}  # fmt: skip


def test_orders_come_first_and_breaks_behind_them_each_sorted() -> None:
    one = reconciled(breaks=[BREAK | {"symbol": "B"}, BREAK], orders=[ORDER | {"symbol": "C"}, ORDER])
    rows = rows_of(recon_single(facts(reconciled=[one])))
    assert [(row["record"], row["symbol"]) for row in rows] == [
        ("order", "AAPL"), ("order", "C"), ("break", "AAPL"), ("break", "B"),
    ]  # fmt: skip
    assert (rows[0]["side"], rows[0]["slippage_bps"], rows[0]["kind"], rows[0]["taken_at"]) == ("BUY", 100, None, AT)
    assert (rows[2]["expected"], rows[2]["found"], rows[2]["state"], rows[2]["lock"]) == ("10", "9", None, None)
    assert rows_of(recon_final(facts(reconciled=[one]))) == rows


def test_the_second_pass_is_the_final_one_with_what_it_adds() -> None:
    later = AT + timedelta(hours=16)
    more = {
        "class": "late", "stage": "fills", "plan": "10", "ledger": "9", "broker": "10", "amount": "1",
        "cause": "A late fill.", "lock": True, "pass": "second", "taken_at": later,
    }  # fmt: skip
    first = reconciled({"pass": "first", "taken_at": AT}, orders=[ORDER])
    second = reconciled({"pass": "second", "taken_at": later, "summary": "main: 1 break"}, breaks=[BREAK | more])
    known = facts(reconciled=[first, second])
    (single,), (final,) = rows_of(recon_single(known)), rows_of(recon_final(known))
    assert (single["record"], single["pass"], single["taken_at"]) == ("order", "first", AT)
    assert {name: final[name] for name in more} == more | {"lock": "true"}
    assert recon_summary(known) == (
        "First pass of 2025-03-03 14:30:00 UTC\nmain: reconciled\n"
        "\nSecond pass of 2025-03-04 06:30:00 UTC\nmain: 1 break\n"
    )


def test_one_reconciliation_is_said_once_and_none_not_at_all() -> None:
    assert recon_summary(facts(reconciled=[reconciled()])) == (
        "Reconciliation of 2025-03-03 14:30:00 UTC\nmain: reconciled\n"
    )
    assert (recon_single(facts()), recon_final(facts()), recon_summary(facts())) == (None, None, None)
