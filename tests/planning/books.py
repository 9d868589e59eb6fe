"""Small builders of planning inputs, and Hypothesis strategies for whole books."""

import random
from dataclasses import replace
from datetime import date
from decimal import Decimal

from hypothesis import strategies as st

from scizor_dagster.brokers.protocol import Capabilities, OrderType, Side, TimeInForce
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.inputs import PlanInputs, ReferencePrice, Target
from scizor_dagster.planning.model import Plan
from scizor_dagster.planning.open_orders import OpenOrder
from scizor_dagster.planning.rules import PlanningRules

SESSION = date(2025, 7, 28)
CLOSED = date(2025, 7, 25)

ALPACA_LIKE = Capabilities(
    fractional=True,
    quantity_decimals=9,
    short=True,
    order_types=frozenset({OrderType.MARKET, OrderType.LIMIT, OrderType.BRACKET}),
    min_notional=Decimal(1),
    full_exit_below_minimum=True,
    unique_client_ids=True,
    max_client_id_length=128,
)
WHOLE_ONLY = replace(ALPACA_LIKE, fractional=False, quantity_decimals=0, full_exit_below_minimum=False)

TIMES = (frozenset({TimeInForce.DAY}), frozenset(TimeInForce))


def number(value):
    return Decimal(str(value))


def price(value):
    return ReferencePrice(number(value), CLOSED, "test")


def inputs_of(weights, prices, holdings=(), *, equity=100_000, instruments=None, targets=(), **others):
    """Inputs from plain dictionaries; every symbol named anywhere is an ordinary instrument."""
    holdings = dict(holdings)
    known = {symbol: Instrument(symbol, "XNYS", "USD") for symbol in (*weights, *prices, *holdings)}
    known |= instruments or {}
    made = tuple(Target((symbol,), symbol, f"{symbol}.XNYS", number(weight)) for symbol, weight in weights.items())
    return PlanInputs(
        portfolio="main",
        account="paper",
        session=SESSION,
        batch=1,
        currency="USD",
        equity=number(equity),
        targets=(*made, *targets),
        holdings={symbol: number(quantity) for symbol, quantity in holdings.items()},
        prices={symbol: price(value) for symbol, value in prices.items()},
        instruments=known,
        priced_on=CLOSED,
        adjustment="raw",
        **others,
    )


def line_of(plan: Plan, symbol: str):
    return next(line for line in plan.lines if line.symbol == symbol)


def orders_of(plan: Plan, symbol: str):
    return [order for order in plan.orders if order.symbol == symbol]


def signed(order) -> Decimal:
    return order.qty if order.side is Side.BUY else -order.qty


def filled(inputs: PlanInputs, plan: Plan) -> PlanInputs:
    """The same day after every order filled at its reference price."""
    holdings = dict(inputs.holdings)
    for order in plan.orders:
        holdings[order.symbol] = holdings.get(order.symbol, Decimal(0)) + signed(order)
    cash = inputs.cash
    if cash is not None:
        cash -= sum((signed(order) * order.price_used for order in plan.orders), Decimal(0))
    return replace(inputs, holdings=holdings, cash=cash)


def goes_on_later(plan: Plan) -> bool:
    """Whether something is closed that the slices of one plan do not carry whole: the next plan has the rest."""
    return any(words in line.note for line in plan.lines for words in ("no change has more than", "no slices carry"))


def random_rules(chance: random.Random, shorts: bool) -> PlanningRules:
    return PlanningRules(
        fractional=chance.random() < 0.7,
        min_order_notional=chance.choice([Decimal(0), Decimal(1), Decimal(2), Decimal("57.5")]),
        quantity_precision=chance.choice([0, 2, 4, 9]),
        max_total_weight=chance.choice([Decimal(1), Decimal("0.95"), *([Decimal("1.6")] if shorts else [])]),
        adjust_for_overflow=chance.random() < 0.7,
        max_notional_per_order=chance.choice([None, None, Decimal(500), Decimal(20_000)]),
        max_share_per_order=chance.choice([None, None, Decimal(2000)]),
        min_cash_buffer_pct=chance.choice([Decimal(0), Decimal("0.02")]),
        mode_on_buy=chance.choice(["market", "limit", "bracket"]),
        mode_on_sell=chance.choice(["market", "limit"]),
        allow_short=shorts,
    )


def random_book(seed: int, shorts: bool = False):
    """A book with odd holdings, stuck names and missing prices; its cash is consistent with its equity.

    Holdings are drifted targets, leftovers, fractions of nine decimals, or (with `shorts`) on the
    other side of zero; about a tenth of the names has no price or may not be traded.
    """
    chance = random.Random(seed)
    rules = random_rules(chance, shorts)
    symbols = [f"S{number}" for number in range(chance.randint(1, 9))]
    prices = {symbol: _decimal(chance.choice([0.4, 9, 90, 900]) * (0.2 + chance.random()), 4) for symbol in symbols}
    equity = _decimal(chance.choice([40, 900, 20_000, 500_000]) * (0.5 + chance.random()), 2)
    raw = {symbol: chance.randint(-40 if shorts else 0, 100) for symbol in symbols if chance.random() < 0.8}
    gross = sum(map(abs, raw.values())) or 1
    share = chance.choice([Decimal("0.6"), Decimal(1), Decimal("1.0015")]) * min(rules.max_total_weight, 1)
    weights = {symbol: (share * value / gross).quantize(Decimal("1e-9")) for symbol, value in raw.items()}
    holdings = {}
    for symbol in symbols:
        if chance.random() < 0.7:
            drift = chance.choice([1.0, 1.0, 0.999, 1.0005, 1.3, 0.5, chance.random() * 3])
            wanted = float(weights.get(symbol, Decimal("0.1")) * equity / prices[symbol]) * drift
            if shorts and chance.random() < 0.2:
                wanted = -wanted
            holdings[symbol] = _decimal(wanted, chance.choice([0, 2, 9]) if wanted > 0 else 0)
    value = sum((quantity * prices[symbol] for symbol, quantity in holdings.items()), Decimal(0))
    equity = max(equity, value) if chance.random() < 0.8 else max(Decimal(1), value)
    known = {symbol: quote for symbol, quote in prices.items() if chance.random() < 0.95}
    instruments = {
        symbol: Instrument(
            symbol,
            "XNYS",
            "USD",
            fractionable=chance.random() < 0.8,
            shortable=chance.random() < 0.8,
            tradable=chance.random() < 0.95,
        )
        for symbol in symbols
    }
    frozen = {symbol: "An order of unknown outcome." for symbol in symbols if chance.random() < 0.05}
    inputs = inputs_of(
        weights,
        known,
        holdings,
        equity=equity,
        instruments=instruments,
        frozen_symbols=frozen,
        cash=equity - value if chance.random() < 0.4 else None,
    )
    return inputs, rules, chance.choice([ALPACA_LIKE, ALPACA_LIKE, WHOLE_ONLY])


def _decimal(value: float, places: int) -> Decimal:
    return Decimal(f"{value:.{places}f}") or Decimal(1).scaleb(-places)


def books(shorts=False):
    """Random books by seed: a failing law names the seed that shows it."""
    return st.integers(0, 2**48).map(lambda seed: random_book(seed, shorts))


def ruled_book(seed: int, shorts: bool = False):
    """A random book under random planning rules, with the facts that they read; some of these are missing."""
    inputs, rules, capabilities = random_book(seed, shorts)
    chance = random.Random(f"rules {seed}")
    symbols = sorted(inputs.instruments)
    some = [symbol for symbol in symbols if chance.random() < 0.9]
    rules = replace(
        rules,
        band_absolute=chance.choice([Decimal(0), Decimal(0), Decimal("0.002"), Decimal("0.03")]),
        band_relative=chance.choice([Decimal(0), Decimal(0), Decimal("0.01"), Decimal("0.2")]),
        trade_to=chance.choice(["target", "edge"]),
        max_turnover=chance.choice([None, None, Decimal("0.1"), Decimal("0.6")]),
        max_participation=chance.choice([None, None, Decimal("0.02")]),
        price_collar=chance.choice([None, Decimal("0.001"), Decimal("0.05")]),
        slippage_allowance_pct=chance.choice([Decimal(0), Decimal(0), Decimal("0.01")]),
        tp_atr=chance.choice([None, None, Decimal(3)]),
        sl_atr=chance.choice([None, None, Decimal(2)]),
        mode_on_buy=chance.choice(["market", "limit", "bracket", "moo", "moc"]),
        mode_on_sell=chance.choice(["market", "limit", "moo", "moc"]),
        overrides=tuple(
            (symbol, chance.choice(["no_buy", "no_sell", "reduce_only", "never_touch"]))
            for symbol in symbols
            if chance.random() < 0.1
        ),
    )
    prices = {symbol: quote.price for symbol, quote in inputs.prices.items()}
    priced = [symbol for symbol in some if symbol in prices]
    facts = {
        "adv": {symbol: Decimal(chance.choice([0, 90, 4_000, 900_000])) for symbol in some},
        "atr": {symbol: _decimal(float(prices[symbol]) * 0.3 * chance.random(), 4) for symbol in priced},
        "previous_prices": {symbol: prices[symbol] * chance.choice([1, 1, 1, 10]) for symbol in priced},
    }
    return replace(inputs, **facts), rules, replace(capabilities, times_in_force=chance.choice(TIMES))


def crowded_book(seed: int, shorts: bool = False):
    """A ruled book in an account with open orders and with holdings that no portfolio owns."""
    inputs, rules, capabilities = ruled_book(seed, shorts)
    chance = random.Random(f"crowd {seed}")
    orders, foreign = [], {}
    for symbol in sorted(inputs.instruments):
        held = inputs.holdings.get(symbol, Decimal(0))
        if chance.random() < 0.2:
            foreign[symbol] = Decimal(chance.choice([-7, 12, 300]))
        for _ in range(chance.choice([0, 0, 0, 1, 2])):
            side, own = chance.choice(list(Side)), chance.random() < 0.6
            free = max(abs(held), Decimal(1)) / 3
            remaining = _decimal(float(free) * chance.random(), 2) if (held > 0) == (side is Side.SELL) else Decimal(5)
            protective = chance.random() < 0.4
            orders.append(OpenOrder(symbol, side, remaining, own, protective, "pair" if protective else ""))
    wash = chance.random() < 0.5
    return (
        replace(inputs, open_orders=tuple(orders), foreign=foreign),
        rules,
        replace(capabilities, refuses_wash_trades=wash),
    )


def ruled_books(shorts=False):
    return st.integers(0, 2**48).map(lambda seed: ruled_book(seed, shorts))


def crowded_books(shorts=False):
    return st.integers(0, 2**48).map(lambda seed: crowded_book(seed, shorts))
