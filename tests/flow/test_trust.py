"""What is not believed sizes nothing: a quarantined bar, a calendar that disagrees, a book without prices."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from scizor_dagster.errors import DataError, InputError, PriceUnavailable
from scizor_dagster.flow.markets import accept_quarantined, collect_closed_session, newest_quarantined
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.flow.trust import require_calendar
from scizor_dagster.lake.tables import append_rows
from scizor_dagster.ledger.acceptances import accepted_prices
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.planning.model import Reason
from tests.flow.desks import FIRST, NOW, SECOND, collected, trade
from tests.market_data.support import XNYS, new_lake

PRICED_ON = date(2025, 3, 7)
JUMP = "close 1 after 100 of 2025-03-06; with no corporate action since, about 100 is expected"


def _quarantine(lake, symbol: str, day: date, reason: str, close: float = 1.0, detail: str = JUMP) -> None:
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    row = {"market": "us", "symbol": symbol, "session": day, **prices, "volume": 10.0, "reason": reason}
    with lake.write() as cursor:
        cursor.execute("DELETE FROM bars WHERE symbol = ? AND session = ?", [symbol, day])
        append_rows(
            cursor,
            "quarantined_bars",
            pd.DataFrame([{**row, "detail": detail, "source": "test", "fetched_at": NOW}]),
        )


def test_a_quarantined_bar_keeps_its_holding_until_it_is_collected_again(tmp_path: Path) -> None:
    desk = collected(tmp_path)
    trade(desk, FIRST)
    _quarantine(desk.lake, "NVDA", PRICED_ON, "price_jump")
    consolidate_session(desk, "main", SECOND)
    plan = plan_session(desk, "main", SECOND).plan
    line = next(line for line in plan.lines if line.symbol == "NVDA")
    assert (line.reason, line.delta_qty) == (Reason.QUARANTINED, 0)
    assert line.current_qty > 0
    assert f"Its bar of {PRICED_ON} is quarantined (price_jump: {JUMP})." in line.note
    assert {order.symbol for order in plan.orders} >= {"AAPL", "GOOG"}
    assert "NVDA" not in {order.symbol for order in plan.orders}
    # AAPL is three tenths of the equity: too much to plan around.
    _quarantine(desk.lake, "AAPL", PRICED_ON, "price_jump")
    with pytest.raises(PriceUnavailable, match=r"\(AAPL, NVDA\) are about .* allows 25%") as caught:
        plan_session(desk, "main", SECOND)
    assert "scizor prices accept" in caught.value.remedy
    collect_closed_session(desk, "us", PRICED_ON)
    reasons = {line.symbol: line.reason for line in plan_session(desk, "main", SECOND).plan.lines}
    assert reasons["AAPL"] is Reason.REBALANCE
    assert Reason.QUARANTINED not in reasons.values()


def test_an_acceptance_is_kept_with_who_when_and_why_and_only_for_what_can_be_a_price(tmp_path: Path) -> None:
    desk = collected(tmp_path)
    last = date(2025, 3, 31)
    _quarantine(desk.lake, "AAPL", last, "price_jump", 12.5)
    _quarantine(desk.lake, "MSFT", last, "bad_price", 0.0, "close 0.0")
    assert [(row["symbol"], row["reason"]) for row in newest_quarantined(desk, "us")] == [
        ("AAPL", "price_jump"),
        ("MSFT", "bad_price"),
    ]
    for symbol, reason, words in (
        ("AAPL", " ", "No reason is given"),
        ("NVDA", "because", "no quarantined bar"),
        ("MSFT", "because", r"cannot be accepted: bad_price \(close 0.0\)"),
    ):
        with pytest.raises(InputError, match=words):
            accept_quarantined(desk, "us", symbol, last, reason=reason, actor="ann")
    assert accept_quarantined(desk, "us", "AAPL", last, reason="special dividend", actor="ann") == 12.5
    with desk.ledger.read() as connection:
        assert accepted_prices(connection, "us") == {("AAPL", last): 12.5}
        assert accepted_prices(connection, "asx") == {}
        assert verify_chain(connection) == []


def test_90_new_prices_on_a_day_without_a_session_stop_the_cycle(tmp_path: Path) -> None:
    desk, lake = SimpleNamespace(calendar=lambda _market: XNYS), new_lake(tmp_path)
    symbols = pd.DataFrame({"symbol": ["A", "B", "C"]}).assign(
        market="us", instrument_id="X.XNYS", mic="XNYS", currency="USD", lot=1, tick=Decimal("0.01"),
        fractionable=True, shortable=True, tradable=True, verified=True, last_verified=NOW, source="test",
        fetched_at=NOW,
    )  # fmt: skip
    with lake.write() as cursor:
        append_rows(cursor, "symbols", symbols)
    holiday, session, following = date(2025, 1, 9), date(2025, 1, 10), date(2025, 1, 13)
    _quarantine(lake, "A", holiday, "not_a_session")
    require_calendar(desk, lake, "us", session, following)
    _quarantine(lake, "B", holiday, "not_a_session")
    with pytest.raises(DataError, match="2 of 3 symbols have new prices of 2025-01-09, which is no session of XNYS"):
        require_calendar(desk, lake, "us", session, following)
    require_calendar(desk, lake, "us", following, date(2025, 1, 14))
