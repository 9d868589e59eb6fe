"""The protocol against the embedded exchange, whose books live in the ledger's own database."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from scizor_dagster.brokers.paper import PaperBroker
from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.config import PaperAccount, PaperExchangeRules
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.instruments import Instrument
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.holdings import cash_flow, foreign, owned
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.paper_exchange.data import SessionAction, SessionBar
from scizor_dagster.planning.model import Plan
from scizor_dagster.sessions import TradingCalendar
from tests.execution.kill_switch import Killed, KillSwitch, MortalBroker, MortalLedger
from tests.execution.scenario import MONDAY, PRICES, TUESDAY, D, clock, fresh_copy, order, plan_of, resume, run
from tests.paper_exchange.market import FakeData

CALENDAR = TradingCalendar("XNYS")
PAPER = {"expected_broker": "paper", "expected_account_id": "paper", "starting_cash": D(10_000)}


def _data(volume: int = 30_000) -> FakeData:
    bars = {
        symbol: SessionBar(price, price * D("1.02"), price * D("0.98"), price * D("1.01"), D(volume))
        for symbol, price in PRICES.items()
    }
    return FakeData({MONDAY: bars, TUESDAY: bars}, prices=dict(PRICES))


def _paper(ledger: Ledger, data: FakeData) -> PaperBroker:
    instruments = {symbol: Instrument(symbol, "XNYS", "USD") for symbol in PRICES}
    account = PaperAccount(broker="paper", initial_cash=10_000.0, exchange=PaperExchangeRules())
    return PaperBroker(ledger, "paper", account, CALENDAR, data, instruments, clock)


def _monday() -> Plan:
    buys = [order("m-aaa", "AAA", Side.BUY, "20"), order("m-bbb", "BBB", Side.BUY, "60.5")]
    return plan_of(buys, buffer="100")


def _tuesday(ledger: Ledger) -> Plan:
    with ledger.read() as connection:
        held = owned(connection, "paper", "main", before=TUESDAY)
    orders = [
        order("t-aaa", "AAA", Side.SELL, str(held["AAA"])),
        order("t-bbb", "BBB", Side.SELL, "20.25"),
        order("t-ccc-1", "CCC", Side.BUY, "150"),
        order("t-ccc-2", "CCC", Side.BUY, "50", slice_=2),
        order("t-ddd", "DDD", Side.BUY, "700.5"),
        order(
            "t-aaa-x", "AAA", Side.SELL, "4", phase=2, intent=PositionIntent.SELL_TO_OPEN, depends_on=["t-aaa"], leg=2
        ),
    ]
    return plan_of(orders, session=TUESDAY, held={symbol: str(qty) for symbol, qty in held.items()}, buffer="100")


def _books(ledger: Ledger, broker: PaperBroker) -> Any:
    """What the exchange holds in the end, once the ledger is known to say the same."""
    positions = broker.positions()
    with ledger.read() as connection:
        assert verify_chain(connection) == []
        assert foreign(connection, "paper", positions) == {}
        assert D(10_000) + cash_flow(connection, "paper", "main") == broker.account().cash
    orders = [row for session in (MONDAY, TUESDAY) for row in broker.orders(session)]
    return (
        sorted((row.client_order_id, row.qty, row.filled_qty, row.average_price) for row in orders),
        {row.symbol: row.qty for row in positions},
    )


def test_two_sessions_end_with_ledger_and_exchange_in_agreement_to_the_share_and_the_cent(ledger: Ledger) -> None:
    broker = _paper(ledger, _data())
    assert run(ledger, broker, _monday(), **PAPER).state is ExecutionState.DONE
    result = run(ledger, broker, _tuesday(ledger), **PAPER)
    assert (result.state, result.counts) == (ExecutionState.DONE, {"filled": 6})
    assert result.factor is not None
    assert result.factor < 1
    orders, positions = _books(ledger, broker)
    assert len(orders) == 8
    assert positions["AAA"] < 0


def test_death_at_boundaries_of_exchange_and_ledger_ends_in_the_same_books(ledger: Ledger, tmp_path: Path) -> None:
    data = _data()
    run(ledger, _paper(ledger, data), _monday(), **PAPER)
    plan = _tuesday(ledger)
    ledger.close()

    def attempt(url: str, switch: KillSwitch) -> Any:
        mortal = MortalLedger.open(url, synchronous="OFF")
        mortal.switch = switch
        broker = _paper(mortal, data)
        try:
            run(mortal, MortalBroker(broker, switch), plan, **PAPER)
            return _books(mortal, broker)
        except Killed:
            return None
        finally:
            mortal.close()

    counting = KillSwitch()
    expected = attempt(fresh_copy(ledger.path, tmp_path / "0" / "l.sqlite"), counting)
    for at in range(2, counting.count + 1, 9):
        url = fresh_copy(ledger.path, tmp_path / str(at) / "l.sqlite")
        assert attempt(url, KillSwitch(at)) is None
        assert attempt(url, KillSwitch()) == expected, at


def test_orders_rest_until_their_session_has_data(ledger: Ledger) -> None:
    data = _data()
    monday = data.sessions.pop(MONDAY)
    # A later session that has data would prove that there is none to come.
    data.sessions.clear()
    broker = _paper(ledger, data)
    assert run(ledger, broker, _monday(), **PAPER).counts == {"working": 2}
    data.sessions[MONDAY] = monday
    assert resume(ledger, broker, **PAPER).state is ExecutionState.DONE


def test_a_thin_market_leaves_parts_that_expire_and_both_sides_agree_on_them(ledger: Ledger) -> None:
    broker = _paper(ledger, _data(volume=300))
    result = run(ledger, broker, _monday(), **PAPER)
    assert result.state is ExecutionState.DONE
    assert result.counts == {"expired": 1, "filled": 1}
    _books(ledger, broker)


def test_splits_and_dividends_of_sessions_without_a_plan_are_in_the_next_plans_holdings(ledger: Ledger) -> None:
    data = _data()
    broker = _paper(ledger, data)
    run(ledger, broker, _monday(), **PAPER)
    data.events += [
        SessionAction("AAA", TUESDAY, "split", ratio=Decimal(4)),
        SessionAction("BBB", TUESDAY, "dividend", amount=Decimal("0.5")),
    ]
    assert resume(ledger, broker, TUESDAY, **PAPER).state is ExecutionState.NO_PLAN
    with ledger.read() as connection:
        held = owned(connection, "paper", "main", before=date(2026, 3, 4))
    assert held == {row.symbol: row.qty for row in broker.positions()}
    assert held["AAA"] == 80
    _books(ledger, broker)
