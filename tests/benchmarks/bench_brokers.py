"""Speed of the exchange, of its doors, and of a batch of orders over a slow wire.

    python -m tests.benchmarks.bench_brokers

Prints orders per second of the engine alone, what each door adds to an order and to the smallest request,
and the rate that a batch of orders reaches where every call takes 100 ms, as a part of what the broker
permits (aim: 95 %): of the adapter alone, and through the executor with a ledger on this disk. Alpaca
permits 200 requests a minute; a TWS takes 50 messages a second, of which the adapter uses 48. The batch at
Alpaca takes a minute and a half, because that is what is measured.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path

import requests

from scizor_dagster.brokers.alpaca.broker import AlpacaBroker
from scizor_dagster.brokers.alpaca.settings import AlpacaSettings
from scizor_dagster.brokers.ibkr.broker import IbkrBroker
from scizor_dagster.brokers.ibkr.connection import MESSAGES_PER_SECOND, IbkrConnection
from scizor_dagster.brokers.ibkr.settings import IbkrSettings
from scizor_dagster.brokers.protocol import (
    Broker,
    BrokerOrder,
    OrderRequest,
    OrderType,
    PositionIntent,
    Side,
    TimeInForce,
)
from scizor_dagster.execution.executor import execute
from scizor_dagster.instruments import Instrument
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.paper_exchange.alpaca_door.server import serve_alpaca
from scizor_dagster.paper_exchange.tws_door.server import serve_tws
from scizor_dagster.paper_exchange.venue_orders import House
from scizor_dagster.sessions import TradingCalendar
from tests.benchmarks.slow_wire import SlowWire
from tests.execution.scenario import order as planned
from tests.execution.scenario import plan_of, settings
from tests.paper_exchange.alpaca.support import ACCOUNT as ALPACA
from tests.paper_exchange.alpaca.support import HEADERS, KEY, SECRET, UNLIMITED
from tests.paper_exchange.floor import ACCOUNT as IBKR
from tests.paper_exchange.floor import DAY1, NOON, Floor
from tests.paper_exchange.venues import ticket

LATENCY = 0.1
AT_ONCE = 12
"""Orders under way at a TWS: what 48 a second need at 100 ms each, with room for the exchange."""
NAMES = {f"S{number:03d}": Instrument(f"S{number:03d}", "XNYS", "USD", fractionable=False) for number in range(100)}


def order(number: int, kind: OrderType = OrderType.LIMIT) -> OrderRequest:
    """A small order, the symbols in turn; with a limit it is far from the market."""
    symbol = f"S{number % len(NAMES):03d}"
    base = (f"bench-{number}", symbol, Side.BUY, D(1), kind, TimeInForce.DAY, DAY1)
    return OrderRequest(*base, PositionIntent.BUY_TO_OPEN, D(50) if kind is OrderType.LIMIT else None)


def each(
    count: int, work: Callable[[int], object], at_once: int = 1, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds that `count` calls take."""
    start = clock()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(work, range(count)))
    return clock() - start


@contextmanager
def floor(account: str, house: House) -> Iterator[Floor]:
    with tempfile.TemporaryDirectory() as folder:
        yield Floor(Path(folder), list(NAMES.values()), cash=10_000_000, accounts=(account,), house=house)


def bench_engine() -> float:
    """Seconds of one order at the engine, of processor time: other work on the machine counts less."""
    with floor(IBKR, House.IBKR) as venue:
        tickets = [ticket(symbol=order(n).symbol, id=f"e{n}", qty=1, kind="limit", limit=50) for n in range(500)]
        taken = each(500, lambda n: venue.place(IBKR, tickets[n]), clock=time.process_time) / 500
        print(f"engine, a limit order that rests          {taken * 1e3:8.2f} ms {1 / taken:8.0f} orders/s")
        fills = [ticket(symbol=order(n).symbol, id=f"m{n}", qty=1) for n in range(500)]
        filled = each(500, lambda n: venue.place(IBKR, fills[n]), clock=time.process_time) / 500
        print(f"engine, a market order that fills         {filled * 1e3:8.2f} ms {1 / filled:8.0f} orders/s")
    return taken


def bench_doors(engine: float) -> None:
    with floor(ALPACA, House.ALPACA) as venue, _alpaca_door(venue, limited=False) as (_, url):
        session = requests.Session()
        session.headers.update(HEADERS)
        body = {"qty": "1", "side": "buy", "type": "limit", "limit_price": "50", "time_in_force": "day"}
        row("Alpaca door, GET /v2/clock", each(200, lambda _: session.get(f"{url}/v2/clock", timeout=10)) / 200, engine)
        post = lambda n: session.post(f"{url}/v2/orders", json={**body, "symbol": f"S{n % 100:03d}"}, timeout=10)  # noqa: E731
        row("Alpaca door, POST /v2/orders", each(300, post) / 300, engine)
    with floor(IBKR, House.IBKR) as venue, serve_tws(venue) as tws, _ibkr(tws.port) as broker:
        broker.account()
        row("TWS door and client, an order", each(300, lambda n: broker.submit(order(n))) / 300, engine)


def row(label: str, taken: float, engine: float) -> None:
    print(f"{label:<41} {taken * 1e3:8.2f} ms {taken / engine:8.1f} x an order at the engine")


def bench_batches() -> None:
    with (
        floor(ALPACA, House.ALPACA) as venue,
        _alpaca_door(venue, limited=True) as (port, _),
        SlowWire(port, LATENCY) as wire,
    ):
        broker = _alpaca(f"http://127.0.0.1:{wire.port}")
        batch("Alpaca, one after the other", broker, 400, 200 / 60, 1)
        broker.close()
    with tws_of_its_own() as port, _ibkr(port) as broker:
        broker.account()
        each(len(NAMES), lambda n: broker.submit(order(n, OrderType.MARKET)), AT_ONCE)
        batch(f"IBKR, {AT_ONCE} at once", broker, 600, MESSAGES_PER_SECOND, AT_ONCE, first=len(NAMES))
        batch("IBKR, one after the other", broker, 50, MESSAGES_PER_SECOND, 1, first=1000)
    with tws_of_its_own() as port, _ibkr(port) as broker:
        executed("IBKR, through the executor", broker, 500, MESSAGES_PER_SECOND)


@contextmanager
def tws_of_its_own() -> Iterator[int]:
    """Port of a TWS behind a slow wire, in a process of its own as a real one is."""
    here, there = Pipe()
    process = get_context("spawn").Process(target=_serve_tws, args=(there,))
    process.start()
    yield here.recv()
    here.send("end")
    process.join()


def _serve_tws(parent: Connection) -> None:
    with floor(IBKR, House.IBKR) as venue, serve_tws(venue) as tws, SlowWire(tws.port, LATENCY) as wire:
        parent.send(wire.port)
        parent.recv()


def executed(label: str, broker: IbkrBroker, count: int, permitted: float) -> None:
    """The rate between the first order that the executor sends and the last one."""
    orders = [
        planned(f"x{n}", f"S{n % len(NAMES):03d}", Side.BUY, "1", price=D(100), slice_=1 + n // len(NAMES))
        for n in range(count)
    ]
    plan = replace(plan_of(orders, session=DAY1), account="broker", equity=D(10**7))
    identity = broker.identity()
    rules = settings(
        starting_cash=D(10**7),
        expected_broker=identity.broker,
        expected_environment=identity.environment,
        expected_account_id=identity.account_id,
    )
    sent: list[tuple[float, float]] = []
    submit = broker.submit

    def timed(request: OrderRequest) -> BrokerOrder:
        start = time.perf_counter()
        answer = submit(request)
        sent.append((start, time.perf_counter()))
        return answer

    broker.submit = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.sqlite")
        common = {"account": "broker", "portfolio": "main", "clock": lambda: NOON, "holder": "bench"}
        execute(plan, ledger=ledger, broker=broker, settings=rules, **common)
        ledger.close()
    taken = max(end for _, end in sent) - min(start for start, _ in sent)
    messages = (len(sent) + len(NAMES)) / taken
    print(
        f"{label:<41} {len(sent) / taken:8.2f} orders/s {messages / permitted:8.0%} of the permitted "
        f"{permitted:.2f} messages/s, of which {len(NAMES)} ask for a contract"
    )


def batch(label: str, broker: Broker, count: int, permitted: float, at_once: int, first: int = 0) -> None:
    """The rate of a batch, as a part of the permitted one in orders a second."""
    busy = time.process_time()
    taken = each(count, lambda n: broker.submit(order(first + n, OrderType.MARKET)), at_once)
    share = count / taken / permitted
    busy = (time.process_time() - busy) / count * 1e3
    print(
        f"{label:<41} {count / taken:8.2f} orders/s {share:8.0%} of the permitted {permitted:.2f}/s, {busy:.1f} ms busy"
    )


@contextmanager
def _alpaca_door(venue: Floor, *, limited: bool) -> Iterator[tuple[int, str]]:
    server = serve_alpaca(venue, {KEY: (SECRET, ALPACA)}, **({} if limited else {"rules": UNLIMITED}))
    yield int(server.url.rpartition(":")[2]), server.url
    server.close()


def _alpaca(url: str) -> AlpacaBroker:
    settings = AlpacaSettings(KEY, SECRET, url, clock_max_age=timedelta(hours=1), read_timeout=30.0)
    return AlpacaBroker(settings, TradingCalendar("XNYS"))


@contextmanager
def _ibkr(port: int) -> Iterator[IbkrBroker]:
    settings = replace(IbkrSettings("127.0.0.1", port, 7, IBKR), execution_days=7)
    broker = IbkrBroker(settings, TradingCalendar("XNYS"), NAMES, lambda: NOON, IbkrConnection(settings))
    yield broker
    broker.close()


if __name__ == "__main__":
    bench_doors(bench_engine())
    bench_batches()
