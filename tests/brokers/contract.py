"""What every broker must do. A broker's test module subclasses `BrokerContract` and supplies `venue`.

What belongs here: behaviour that Scizor relies on at every broker. What does not: what one broker
does in its own way; that is tested beside its adapter.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal as D

import pytest

from scizor_dagster.brokers.protocol import (
    Broker,
    OrderRequest,
    OrderStatus,
    OrderType,
    PositionIntent,
    Side,
    TimeInForce,
)
from scizor_dagster.errors import BrokerError, OrderRejected, OutcomeUnknown


@dataclass
class Venue:
    """A flat, fresh account at a venue that the test can drive.

    Attributes:
        broker: The broker under test.
        reconnect: A new broker object on the same account, as after a restart of the process.
        run: Let the venue trade the session until its close.
        sessions: Two sessions in a row that the venue has data for; nothing has traded yet.
        symbols: Two instruments that trade near `price`, in fractions where the broker takes them,
            with volume for 1 000 shares.
    """

    broker: Broker
    reconnect: Callable[[], Broker]
    run: Callable[[date], None]
    sessions: tuple[date, date]
    symbols: tuple[str, str]
    price: D

    def order(self, name: str, side: str = "buy", qty: object = 10, **changes: object) -> OrderRequest:
        intent = PositionIntent.BUY_TO_OPEN if side == "buy" else PositionIntent.SELL_TO_CLOSE
        base = OrderRequest(
            name,
            self.symbols[0],
            Side(side),
            D(str(qty)),
            OrderType.MARKET,
            TimeInForce.DAY,
            self.sessions[0],
            intent,
        )
        return replace(base, **changes)

    def limit(self, name: str, factor: str, **changes: object) -> OrderRequest:
        price = (self.price * D(factor)).quantize(D("0.01"))
        return self.order(name, order_type=OrderType.LIMIT, limit_price=price, **changes)


class BrokerContract:
    """Subclass it as `TestX` and define the fixture `venue`."""

    @pytest.fixture
    def venue(self) -> Venue:
        raise NotImplementedError("a subclass supplies the venue")

    def test_it_says_who_it_is_and_stays_that(self, venue: Venue):
        identity = venue.broker.identity()
        assert all((identity.broker, identity.environment, identity.account_id))
        assert venue.reconnect().identity() == identity

    def test_its_capabilities_admit_the_ids_that_scizor_makes(self, venue: Venue):
        capabilities = venue.broker.capabilities
        assert capabilities.max_client_id_length >= 48
        assert OrderType.MARKET in capabilities.order_types
        assert (capabilities.quantity_decimals > 0) == capabilities.fractional

    def test_a_fresh_account_is_flat(self, venue: Venue):
        account = venue.broker.account()
        assert account.cash == account.equity > 0
        assert account.as_of.tzinfo is not None
        assert list(venue.broker.positions()) == []
        assert list(venue.broker.open_orders()) == []

    def test_an_order_is_acknowledged_as_it_was_sent(self, venue: Venue):
        sent = venue.order("a")
        order = venue.broker.submit(sent)
        assert (order.client_order_id, order.symbol, order.side, order.qty) == (
            "a",
            sent.symbol,
            sent.side,
            sent.qty,
        )
        assert not order.status.terminal
        assert order.broker_order_id
        assert order.submitted_at.tzinfo is not None
        assert order.parent_client_order_id is None

    def test_a_filled_order_moves_cash_and_position_by_its_fills(self, venue: Venue):
        before = venue.broker.account().cash
        venue.broker.submit(venue.order("a"))
        venue.run(venue.sessions[0])
        order = venue.broker.find("a")
        assert order is not None
        assert (order.status, order.filled_qty) == (OrderStatus.FILLED, D(10))
        fills = venue.broker.fills(*[venue.sessions[0]] * 2)
        assert sum(fill.qty for fill in fills) == 10
        assert {fill.client_order_id for fill in fills} == {"a"}
        account = venue.broker.account()
        assert account.cash == before - sum(fill.qty * fill.price + fill.fee for fill in fills)
        (position,) = venue.broker.positions()
        assert (position.symbol, position.qty) == (venue.symbols[0], D(10))
        assert position.market_price is not None
        assert account.equity == account.cash + 10 * position.market_price

    def test_the_average_price_lies_within_the_fills(self, venue: Venue):
        venue.broker.submit(venue.order("a"))
        venue.run(venue.sessions[0])
        prices = [fill.price for fill in venue.broker.fills(*[venue.sessions[0]] * 2)]
        order = venue.broker.find("a")
        assert order is not None
        assert order.average_price is not None
        assert min(prices) <= order.average_price <= max(prices)

    def test_a_position_that_was_sold_is_gone(self, venue: Venue):
        venue.broker.submit(venue.order("a"))
        venue.run(venue.sessions[0])
        venue.broker.submit(venue.order("b", "sell", session=venue.sessions[1]))
        venue.run(venue.sessions[1])
        assert list(venue.broker.positions()) == []

    def test_an_unknown_id_is_proven_absent(self, venue: Venue):
        assert venue.broker.find("never-sent") is None

    def test_an_order_is_found_after_a_restart(self, venue: Venue):
        sent = venue.broker.submit(venue.order("a"))
        found = venue.reconnect().find("a")
        assert found is not None
        assert (found.broker_order_id, found.qty) == (sent.broker_order_id, sent.qty)

    def test_the_same_order_again_never_makes_a_second_one(self, venue: Venue):
        if not venue.broker.capabilities.unique_client_ids:
            pytest.skip("the broker does not refuse a repeated client order id; Scizor never resends there")
        venue.broker.submit(venue.order("a"))
        try:
            venue.reconnect().submit(venue.order("a"))
        except OutcomeUnknown:
            assert venue.broker.find("a") is not None
        assert [order.client_order_id for order in venue.broker.orders(venue.sessions[0])] == ["a"]

    def test_an_id_that_is_taken_by_another_order_is_not_called_a_rejection(self, venue: Venue):
        if not venue.broker.capabilities.unique_client_ids:
            pytest.skip("the broker does not refuse a repeated client order id; Scizor never resends there")
        venue.broker.submit(venue.order("a"))
        with pytest.raises(OutcomeUnknown):
            venue.broker.submit(venue.order("a", qty=11))
        assert [order.qty for order in venue.broker.orders(venue.sessions[0])] == [D(10)]

    def test_a_refused_order_does_not_exist(self, venue: Venue):
        with pytest.raises(OrderRejected) as refusal:
            venue.broker.submit(venue.order("a", symbol="NOSUCH"))
        assert refusal.value.client_order_id == "a"
        assert refusal.value.code
        assert venue.broker.find("a") is None
        assert list(venue.broker.orders(venue.sessions[0])) == []

    def test_what_is_not_held_cannot_be_sold_to_close(self, venue: Venue):
        with pytest.raises(BrokerError):
            venue.broker.submit(venue.order("a", "sell"))
        venue.run(venue.sessions[0])
        assert list(venue.broker.positions()) == []

    def test_more_than_the_account_can_pay_is_refused(self, venue: Venue):
        qty = (venue.broker.account().buying_power / venue.price * 2).quantize(D(1))
        with pytest.raises(OrderRejected):
            venue.broker.submit(venue.order("a", qty=qty))

    def test_a_fraction_trades_or_is_refused_as_the_capabilities_say(self, venue: Venue):
        order = venue.order("a", qty="1.25")
        if not venue.broker.capabilities.fractional:
            with pytest.raises(OrderRejected):
                venue.broker.submit(order)
            return
        venue.broker.submit(order)
        venue.run(venue.sessions[0])
        assert [row.qty for row in venue.broker.positions()] == [D("1.25")]

    def test_a_resting_order_is_open_until_it_is_cancelled(self, venue: Venue):
        venue.broker.submit(venue.limit("a", "0.5"))
        assert [order.client_order_id for order in venue.broker.open_orders()] == ["a"]
        venue.broker.cancel("a")
        found = venue.broker.find("a")
        assert found is not None
        assert found.status is OrderStatus.CANCELED
        assert list(venue.broker.open_orders()) == []
        assert [order.client_order_id for order in venue.broker.orders(venue.sessions[0])] == ["a"]

    def test_a_cancel_that_comes_too_late_changes_nothing(self, venue: Venue):
        venue.broker.submit(venue.order("a"))
        venue.run(venue.sessions[0])
        venue.broker.cancel("a")
        found = venue.broker.find("a")
        assert found is not None
        assert found.status is OrderStatus.FILLED

    def test_a_day_order_ends_with_its_session(self, venue: Venue):
        venue.broker.submit(venue.limit("a", "0.5"))
        venue.run(venue.sessions[0])
        found = venue.broker.find("a")
        assert found is not None
        assert found.status in (OrderStatus.EXPIRED, OrderStatus.CANCELED)
        assert found.filled_qty == 0
        assert list(venue.broker.fills(*[venue.sessions[0]] * 2)) == []

    def test_orders_and_fills_belong_to_their_session(self, venue: Venue):
        first, second = venue.sessions
        venue.broker.submit(venue.order("a"))
        venue.run(first)
        venue.broker.submit(venue.order("b", symbol=venue.symbols[1], session=second))
        venue.run(second)
        for session, name in ((first, "a"), (second, "b")):
            assert [order.client_order_id for order in venue.broker.orders(session)] == [name]
            assert {fill.client_order_id for fill in venue.broker.fills(session, session)} == {name}
        assert {fill.client_order_id for fill in venue.broker.fills(first, second)} == {"a", "b"}

    def test_fills_read_twice_are_the_same_and_have_ids_of_their_own(self, venue: Venue):
        venue.broker.submit(venue.order("a"))
        venue.broker.submit(venue.order("b", symbol=venue.symbols[1]))
        venue.run(venue.sessions[0])
        once = venue.broker.fills(*[venue.sessions[0]] * 2)
        assert list(venue.reconnect().fills(*[venue.sessions[0]] * 2)) == list(once)
        assert len({fill.fill_id for fill in once}) == len(once) >= 2
        assert all(fill.executed_at.tzinfo is not None for fill in once)

    def test_bracket_legs_name_their_parent(self, venue: Venue):
        if OrderType.BRACKET not in venue.broker.capabilities.order_types:
            pytest.skip("the broker takes no brackets")
        far = {"take_profit": venue.price * 2, "stop_loss": venue.price / 2}
        venue.broker.submit(venue.order("a", order_type=OrderType.BRACKET, **far))
        legs = [order for order in venue.broker.orders(venue.sessions[0]) if order.parent_client_order_id == "a"]
        assert {leg.side for leg in legs} == {Side.SELL}
        assert len({leg.client_order_id for leg in legs} | {"a"}) == 3

    def test_an_ended_session_has_no_further_step(self, venue: Venue):
        venue.run(venue.sessions[0])
        assert venue.broker.advance(venue.sessions[0]) is False
