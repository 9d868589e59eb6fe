"""The last gate before the wire, on strange days: an order goes out only in the session that it is for."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from scizor_dagster.brokers.alpaca.broker import AlpacaBroker
from scizor_dagster.brokers.alpaca.settings import AlpacaSettings
from scizor_dagster.brokers.alpaca.transport import NoReply, Reply, Transport
from scizor_dagster.brokers.ibkr.tws_clock import TwsClock
from scizor_dagster.brokers.protocol import OrderRequest, OrderType, PositionIntent, Side, TimeInForce, VenuePhase
from scizor_dagster.errors import BrokerUnavailable, OrderRejected, OutcomeUnknown
from scizor_dagster.paper_exchange.alpaca_door.render_account import clock as clock_body
from scizor_dagster.sessions import TradingCalendar
from tests.strange_days import DAYS, at

SECOND = timedelta(seconds=1)
ACCOUNT = {"account_number": "PA1", "status": "ACTIVE"}


def instants(code: str) -> Iterator[tuple[date, datetime, bool, bool]]:
    """A day with a moment of it: whether its session is yet to end by the table, and whether it has begun."""
    for day, hours in DAYS[code].items():
        opens, closes = hours or (time(9, 30), time(16))
        for moment in (
            at(code, day, time(0, 0, 1)),
            at(code, day, opens) - SECOND,
            at(code, day, opens),
            at(code, day, closes) - SECOND,
            at(code, day, closes),
            at(code, day, time(23, 59, 59)),
        ):
            until_end = hours is not None and moment < at(code, day, closes)
            yield day, moment.astimezone(UTC), until_end, until_end and moment >= at(code, day, opens)


def request(session: date) -> OrderRequest:
    intent = PositionIntent.BUY_TO_OPEN
    return OrderRequest("a", "AAA", Side.BUY, Decimal(1), OrderType.MARKET, TimeInForce.DAY, session, intent)


@pytest.fixture
def alpaca(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[AlpacaBroker, dict[str, Any], TradingCalendar]]:
    """A broker whose clock says what Alpaca's would at `told["now"]`, and that notes what it would post."""
    told: dict[str, Any] = {"posts": []}
    calendar = TradingCalendar("XNYS")

    def read(_: Transport, path: str, *__: Any, **___: Any) -> Reply:
        return Reply(200, clock_body(calendar, told["now"]) if path == "/clock" else ACCOUNT)

    def send(_: Transport, *sent: Any) -> Reply:
        told["posts"].append(sent)
        raise NoReply("posted")

    monkeypatch.setattr(Transport, "read", read)
    monkeypatch.setattr(Transport, "send", send)
    settings = AlpacaSettings("PK", "secret", clock_max_age=timedelta(0))
    broker = AlpacaBroker(settings, calendar, monotonic=lambda: 0.0, wait=lambda _: None)
    yield broker, told, calendar
    broker.close()


def test_an_order_goes_out_to_alpaca_only_for_the_session_that_trades_now_or_opens_next(
    alpaca: tuple[AlpacaBroker, dict[str, Any], TradingCalendar], record_property: Any
) -> None:
    broker, told, calendar = alpaca
    cases = 0
    for day, moment, until_end, _ in instants("XNYS"):
        told["now"] = moment
        for session in (day, calendar.next_session(day), calendar.previous_session(day)):
            told["posts"].clear()
            with pytest.raises((OrderRejected, OutcomeUnknown)):
                broker.submit(request(session))
            traded = session == day if until_end else session == calendar.next_session(day)
            assert bool(told["posts"]) == traded, (moment, session)
            cases += 1
    record_property("orders at instants of strange days; sent outside their session 0", cases)


class Line:
    """A connection to a TWS that says what time it is, and nothing else."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def ask(self, *_: Any) -> datetime:
        return self.now

    def unavailable(self, problem: str, **_: Any) -> BrokerUnavailable:
        return BrokerUnavailable(problem, remedy="Set the clock.")

    def time(self) -> None:
        """Asked of the reads."""


@pytest.mark.parametrize("code", DAYS)
def test_the_session_that_an_order_would_trade_in_at_a_tws_is_that_of_the_exchanges_own_day(
    code: str, record_property: Any
) -> None:
    calendar, line, cases = TradingCalendar(code), Line(), 0
    for day, moment, until_end, is_open in instants(code):
        line.now = moment
        clock: Any = TwsClock(line, line, calendar, lambda: line.now, timedelta(0), lambda: 0.0)  # type: ignore[arg-type]
        assert clock.session() == (day if until_end else calendar.next_session(day)), moment
        if calendar.is_session(day):
            phase = VenuePhase.OPEN if is_open else VenuePhase.AHEAD if until_end else VenuePhase.OVER
            assert clock.phase(day) is phase, moment
        cases += 1
    record_property(f"instants of strange days at {code}", cases)


@pytest.mark.parametrize("code", DAYS)
@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-7), timedelta(hours=9), timedelta(days=-30)])
def test_a_machine_whose_clock_is_in_another_session_than_tws_gets_no_order_out(code: str, jump: timedelta) -> None:
    calendar, line = TradingCalendar(code), Line()
    for day in [day for day, hours in DAYS[code].items() if hours is not None]:
        line.now = calendar.open_at(day)
        clock: Any = TwsClock(line, line, calendar, lambda: line.now + jump, timedelta(0), lambda: 0.0)  # type: ignore[arg-type]
        with pytest.raises(BrokerUnavailable, match="another session"):
            clock.session()
