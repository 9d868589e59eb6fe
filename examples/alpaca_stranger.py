"""Plain alpaca-py against any Alpaca address: a paper account, or Scizor's paper exchange in its place.

It knows nothing of Scizor. It looks at the account and the market, buys, changes its mind, protects a
position, listens to the stream, and leaves the account as flat as it found it:

    python examples/alpaca_stranger.py --url http://127.0.0.1:8090 --symbol AAPL
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest, StockLatestQuoteRequest, StockLatestTradeRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderClass, OrderSide, QueryOrderStatus, TimeInForce
from alpaca.trading.models import Order
from alpaca.trading.requests import (
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLossRequest,
    TakeProfitRequest,
)
from alpaca.trading.stream import TradingStream

PATIENCE = 60.0


def until(what: str, ready: Callable[[], Any]) -> Any:
    """The first answer of `ready` that says anything."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = ready()
        if found:
            return found
        time.sleep(0.1)
    raise SystemExit(f"{what}: not after {PATIENCE:.0f} seconds")


class Stranger:
    def __init__(self, url: str, key: str, secret: str, symbol: str) -> None:
        self.symbol = symbol
        self.trading = TradingClient(key, secret, url_override=url)
        self.data = StockHistoricalDataClient(key, secret, url_override=url)
        self.stream = TradingStream(key, secret, url_override=url.replace("http", "ws", 1) + "/stream")
        self.events: list[str] = []
        self.heard = threading.Event()

    def run(self) -> None:
        self.look_around()
        listening = self.listen()
        self.buy()
        self.change_a_mind()
        self.protect()
        self.stream.stop()
        self.leave()
        listening.join(PATIENCE)
        print(f"heard: {', '.join(self.events)}")

    def look_around(self) -> None:
        account, clock = self.trading.get_account(), self.trading.get_clock()
        asset = self.trading.get_asset(self.symbol)
        print(f"account {account.account_number}: equity {account.equity}, buying power {account.buying_power}")
        print(f"{asset.symbol} on {asset.exchange.value}, fractionable {asset.fractionable}; open now: {clock.is_open}")
        wanted = StockBarsRequest(
            symbol_or_symbols=self.symbol,
            timeframe=TimeFrame.Day,
            start=clock.timestamp - timedelta(days=30),
            end=clock.timestamp - timedelta(days=1),
            adjustment=Adjustment.SPLIT,
            feed=DataFeed.SIP,
        )
        bars = self.data.get_stock_bars(wanted).data.get(self.symbol, [])
        quote = self.data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=self.symbol))[self.symbol]
        trade = self.data.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols=self.symbol))[self.symbol]
        self.price = trade.price
        print(f"{len(bars)} bars; {quote.bid_price} bid, {quote.ask_price} ask, last {trade.price}")

    def listen(self) -> threading.Thread:
        async def hear(update: Any) -> None:
            self.events.append(getattr(update.event, "value", str(update.event)))
            self.heard.set()

        self.stream.subscribe_trade_updates(hear)
        thread = threading.Thread(target=self.stream.run, daemon=True)
        thread.start()
        return thread

    def buy(self) -> None:
        def one_share() -> bool:
            wanted = MarketOrderRequest(symbol=self.symbol, qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
            self.filled(self.trading.submit_order(wanted))
            return self.heard.wait(0.5)

        until("an event on the stream", one_share)
        half = MarketOrderRequest(symbol=self.symbol, qty=0.5, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
        order = self.filled(self.trading.submit_order(half))
        position = self.trading.get_open_position(self.symbol)
        print(f"bought {order.filled_qty} at {order.filled_avg_price}; holding {position.qty}")

    def change_a_mind(self) -> None:
        low, lower = round(self.price * 0.5, 2), round(self.price * 0.4, 2)
        wanted = LimitOrderRequest(
            symbol=self.symbol, qty=2, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=low
        )
        order = self.trading.submit_order(wanted)
        until("a resting order", lambda: self.trading.get_order_by_id(order.id).status.value == "new")
        successor = self.trading.replace_order_by_id(order.id, ReplaceOrderRequest(qty=3, limit_price=lower))
        print(f"{order.id} became {successor.id}: {successor.qty} at {successor.limit_price}")
        self.trading.cancel_order_by_id(successor.id)
        until("a canceled order", lambda: self.trading.get_order_by_id(successor.id).status.value == "canceled")

    def protect(self) -> None:
        wanted = MarketOrderRequest(
            symbol=self.symbol,
            qty=2,
            side=OrderSide.BUY,
            time_in_force=TimeInForce.DAY,
            order_class=OrderClass.BRACKET,
            take_profit=TakeProfitRequest(limit_price=round(self.price * 1.5, 2)),
            stop_loss=StopLossRequest(stop_price=round(self.price * 0.5, 2)),
        )
        order = self.filled(self.trading.submit_order(wanted))
        nested = self.trading.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, nested=True, limit=500))
        legs = next(row.legs for row in nested if row.id == order.id)
        print(f"protected by {', '.join(f'{leg.type.value} ({leg.status.value})' for leg in legs)}")

    def leave(self) -> None:
        canceled = self.trading.cancel_orders()
        until("no open order", lambda: not self.trading.get_orders())
        closed = self.trading.close_all_positions(cancel_orders=True)
        until("no position", lambda: not self.trading.get_all_positions())
        fills = self.trading.get("/account/activities/FILL")
        print(f"canceled {len(canceled)}, closed {len(closed)}, {len(fills)} fills; the account is flat")

    def filled(self, order: Order) -> Order:
        def found() -> Order | None:
            row = self.trading.get_order_by_client_id(order.client_order_id)
            return row if row.status.value == "filled" else None

        return until("a fill", found)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="https://paper-api.alpaca.markets")
    parser.add_argument("--symbol", default="AAPL")
    parser.add_argument("--key", default=os.environ.get("APCA_API_KEY_ID"))
    parser.add_argument("--secret", default=os.environ.get("APCA_API_SECRET_KEY"))
    chosen = parser.parse_args(arguments)
    Stranger(chosen.url, chosen.key, chosen.secret, chosen.symbol).run()


if __name__ == "__main__":
    main()
