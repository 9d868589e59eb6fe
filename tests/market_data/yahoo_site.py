"""A small site that speaks Yahoo's chart endpoint on loopback, in the shape of its real replies."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from scizor_dagster.sessions import TradingCalendar

Reply = tuple[int, str, str]
"""Status, type of content, body."""
HTML: Reply = (200, "text/html", "<html><body>We'll be right back</body></html>")
TOO_MANY: Reply = (429, "text/html", "Too Many Requests\r\n")
DELISTED: Reply = (
    404,
    "application/json",
    '{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found, symbol may be delisted"}}}',
)
EMPTY: Reply = (200, "application/json", '{"chart":{"result":[],"error":null}}')
INVALID_CRUMB: Reply = (
    401,
    "application/json",
    '{"chart":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}',
)


def require_yfinance() -> None:
    """Skips with a reason for a user, fails under CI=1."""
    try:
        import curl_cffi  # noqa: F401
        import yfinance  # noqa: F401
    except ImportError as error:
        reason = f"{error.name} is not installed; pip install 'scizor[yahoo]'"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


class Security:
    """One ticker: bars as (session, open, high, low, close, volume), None where Yahoo has null."""

    def __init__(
        self,
        calendar: TradingCalendar,
        exchange: str,
        currency: str,
        bars: list[tuple],
        *,
        traded_at: datetime | None = None,
        splits: dict[date, tuple[int, int]] | None = None,
        dividends: dict[date, float | tuple[float, str]] | None = None,
    ) -> None:
        self.calendar, self.exchange, self.currency, self.bars = calendar, exchange, currency, bars
        self.traded_at = traded_at or calendar.close_at(bars[-1][0])
        self.splits, self.dividends = splits or {}, dividends or {}

    def meta(self, ticker: str) -> dict[str, Any]:
        price = next((bar[4] for bar in reversed(self.bars) if bar[4] is not None), 10.0)
        return {
            "currency": self.currency, "symbol": ticker, "exchangeName": self.exchange,
            "fullExchangeName": self.exchange, "instrumentType": "EQUITY", "firstTradeDate": 570067200,
            "regularMarketTime": int(self.traded_at.timestamp()), "hasPrePostMarketData": False,
            "gmtoffset": 0, "timezone": "X", "exchangeTimezoneName": str(self.calendar.timezone),
            "regularMarketPrice": price, "chartPreviousClose": price, "priceHint": 2,
            "longName": f"{ticker} Limited", "dataGranularity": "1d", "range": "",
            "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
        }  # fmt: skip

    def _stamp(self, day: date) -> int:
        return int(self.calendar.open_at(day).timestamp())

    def chart(self, ticker: str, query: dict[str, list[str]]) -> Reply:
        after = int(query["period1"][0]) if "period1" in query else 0
        bars = [bar for bar in self.bars if self._stamp(bar[0]) >= after]
        result: dict[str, Any] = {"meta": self.meta(ticker)}
        if not bars:
            result["indicators"] = {"quote": [{}], "adjclose": [{}]}
            return _json({"chart": {"result": [result], "error": None}})
        names = ("open", "high", "low", "close", "volume")
        quote = {name: [bar[i] for bar in bars] for i, name in enumerate(names, start=1)}
        result["timestamp"] = [self._stamp(bar[0]) for bar in bars]
        result["indicators"] = {"quote": [quote], "adjclose": [{"adjclose": quote["close"]}]}
        events = {"dividends": self._dividends(after), "splits": self._splits(after)}
        if any(events.values()):
            result["events"] = {name: rows for name, rows in events.items() if rows}
        return _json({"chart": {"result": [result], "error": None}})

    def _dividends(self, after: int) -> dict[str, Any]:
        rows = {}
        for day, paid in self.dividends.items():
            amount, currency = paid if isinstance(paid, tuple) else (paid, "")
            rows[str(self._stamp(day))] = {"amount": amount, "date": self._stamp(day), "currency": currency}
        return {key: row for key, row in rows.items() if row["date"] >= after}

    def _splits(self, after: int) -> dict[str, Any]:
        return {
            str(self._stamp(day)): {
                "date": self._stamp(day), "numerator": new, "denominator": old, "splitRatio": f"{new}:{old}",
            }
            for day, (new, old) in self.splits.items()
            if self._stamp(day) >= after
        }  # fmt: skip


def _json(body: Any) -> Reply:
    return 200, "application/json", json.dumps(body)


class Site:
    """Answers by ticker; `first` are replies that come before the right one; `asked` are the tickers of charts."""

    def __init__(self) -> None:
        self.securities: dict[str, Security] = {}
        self.first: dict[str, list[Reply]] = {}
        self.always: dict[str, Reply] = {}
        self.asked: list[str] = []
        self.others: list[str] = []

    def answer(self, target: str) -> Reply:
        parts = urlsplit(target)
        if "/v8/finance/chart/" not in parts.path:
            self.others.append(parts.path)
            return (200, "text/plain", "crumb") if parts.path.endswith("getcrumb") else (404, "text/html", "")
        ticker = parts.path.rsplit("/", 1)[1]
        self.asked.append(ticker)
        if self.first.get(ticker):
            return self.first[ticker].pop(0)
        if ticker in self.always:
            return self.always[ticker]
        if ticker not in self.securities:
            return DELISTED
        return self.securities[ticker].chart(ticker, parse_qs(parts.query))


@contextmanager
def serving(site: Site) -> Iterator[Callable[[str], str]]:
    """Serve `site`; gives what makes one of its addresses from one of Yahoo's."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = site.answer(self.path)
            data = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            if "getcrumb" not in self.path and "chart" not in self.path:
                self.send_header("Set-Cookie", "A3=cookie; Path=/")
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, *args: Any) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()

    def moved(url: str) -> str:
        parts = urlsplit(url)
        return f"http://127.0.0.1:{server.server_port}/{parts.hostname}{parts.path}?{parts.query}"

    try:
        yield moved
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
