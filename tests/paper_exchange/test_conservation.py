"""Nothing is made and nothing is lost: cash and positions are the sums of their fills and activities."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.brokers.protocol import OrderRequest, Side
from scizor_dagster.paper_exchange import engine
from scizor_dagster.paper_exchange.data import SessionBar
from scizor_dagster.paper_exchange.model import Books, Rules, State
from scizor_dagster.paper_exchange.rules import Market
from scizor_dagster.paper_exchange.venue_orders import Refused
from tests.paper_exchange.market import DAY1, INSTRUMENTS, NOW, PRICES, request, state

SYMBOLS = ["AAA", "BBB", "WHOLE"]
TIMES = engine.StepTimes(datetime(2024, 3, 4, 14, 30, tzinfo=UTC), datetime(2024, 3, 4, 21, 0, tzinfo=UTC))
RULES = Rules(impact_bps=D(50), max_participation=D("0.25"), fee_bps=D(2))

cents = st.integers(5000, 15000).map(lambda value: D(value) / 100)


@st.composite
def bars(draw: st.DrawFn) -> SessionBar:
    low, first, last, high = sorted(draw(st.tuples(cents, cents, cents, cents)))
    opened, closed = draw(st.permutations([first, last]))
    return SessionBar(opened, high, low, closed, D(draw(st.integers(0, 5000))))


@st.composite
def orders(draw: st.DrawFn) -> OrderRequest:
    side = draw(st.sampled_from(["buy", "sell"]))
    fraction = draw(st.integers(0, 10**9 - 1)) if draw(st.booleans()) else 0
    qty = D(draw(st.integers(0, 400))) + D(fraction).scaleb(-9)
    kind = draw(st.sampled_from(["market", "limit", "bracket"]))
    return request(
        side,
        qty,
        draw(st.sampled_from(SYMBOLS)),
        intent=f"{side}_to_{draw(st.sampled_from(['open', 'close']))}",
        limit=draw(cents) if kind == "limit" else None,
        profit=(D(110) if side == "buy" else D(90)) if kind == "bracket" else None,
        stop=(D(95) if side == "buy" else D(105)) if kind == "bracket" else None,
    )


def signed(side: Side, qty: D) -> D:
    return qty * side.sign


@settings(max_examples=150, deadline=timedelta(seconds=5), derandomize=True)
@given(
    held=st.dictionaries(st.sampled_from(SYMBOLS), st.integers(-300, 300).filter(bool)),
    rounds=st.lists(st.lists(orders(), max_size=5), min_size=3, max_size=3),
    session=st.fixed_dictionaries({}, optional={name: bars() for name in SYMBOLS}),
)
def test_cash_and_positions_are_exactly_the_sum_of_the_fills(held, rounds, session):
    before = state(**held)
    books = Books(before)
    engine.begin_session(books, DAY1, (), {}, TIMES.open)
    for step, batch in enumerate(rounds):
        for number, order in enumerate(batch):
            try_to_place(books, order, f"{step}-{number}")
        engine.run_step(books, session, RULES, INSTRUMENTS, TIMES)
    done = books.transition()
    assert done.after.cash - before.cash == sum(
        (-signed(fill.side, fill.qty) * fill.price - fill.fee for fill in done.fills), D(0)
    )
    for symbol in SYMBOLS:
        moved = sum((signed(fill.side, fill.qty) for fill in done.fills if fill.symbol == symbol), D(0))
        assert done.after.held(symbol) == before.held(symbol) + moved
    check_orders(done.after, done)


def try_to_place(books: Books, order: OrderRequest, name: str) -> None:
    renamed = OrderRequest(name, *[getattr(order, field) for field in OrderRequest.__slots__[1:]])
    try:
        engine.place(books, renamed, Market(INSTRUMENTS, PRICES), RULES, NOW)
    except Refused:
        assert books.current(name) is None


def check_orders(after: State, done: object) -> None:
    """Every day order has ended, with as much filled as its fills say, and within its limit."""
    assert after.orders == {}
    for order in done.orders:  # type: ignore[attr-defined]
        own = [fill for fill in done.fills if fill.client_order_id == order.client_order_id]  # type: ignore[attr-defined]
        assert sum((fill.qty for fill in own), D(0)) == order.filled_qty <= order.qty
        assert order.status.terminal
        if order.limit_price is not None:
            assert all((fill.price - order.limit_price) * order.side.sign <= 0 for fill in own)
