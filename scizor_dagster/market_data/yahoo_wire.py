"""The connection that yfinance speaks over: how fast, how often again, and what an answer of Yahoo's means.

What belongs here: pace, repetition, and telling "there is none" from "it cannot be had". What does not: prices
and symbols (`yahoo`), cookies and parsing (yfinance).

yfinance itself takes an overload, a page of HTML and an unknown ticker for one and the same: a ticker without
prices. Here every answer about prices is judged before yfinance sees it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from scizor_dagster.errors import BrokerUnavailable

REQUESTS_PER_SECOND = 2
PAUSES = (5.0, 20.0, 60.0)
"""Seconds before an overload or a failure is asked again; then it is given up."""
_LONGEST_PAUSE = 120.0
_CHART = re.compile(r"/v8/finance/chart/(?P<ticker>[^/?]+)")
_NOT_FOUND = (400, 404, 422)
_NONE_THERE = re.compile(r"no data found|data doesn't exist|not found", re.IGNORECASE)
_OVERLOADED = 429
_FAILED = 500
_FIRST_ERROR = 400

Seconds = Callable[[], float]
Wait = Callable[[float], None]


class NothingThere(Exception):
    """Yahoo says in its own words that the ticker, or its data of the range, does not exist."""


class NoSense(BrokerUnavailable):
    """An answer about one ticker that cannot be used, however often it is asked for: others may be well."""


@dataclass
class Wire:
    """Judges answers and keeps the pace of one session; one request is under way at a time.

    Once a ticker was given up, no other is asked again before one has been answered: an outage is not waited for once
    for each ticker.

    Attributes:
        calls: Requests sent so far, repetitions and those for cookies included.
        meta: Yahoo's newest description by ticker.
        paid_in: By ticker and day of a dividend (UTC) the currency of it, where Yahoo names another than the price's.
    """

    monotonic: Seconds
    wait: Wait
    calls: int = 0
    meta: dict[str, dict[str, Any]] = field(default_factory=dict)
    paid_in: dict[tuple[str, datetime], str] = field(default_factory=dict)
    _next: float = float("-inf")
    _given_up: bool = False
    _lock: Lock = field(default_factory=Lock)

    def send(self, url: str, once: Callable[[], Any]) -> Any:
        """The answer to `once()`, which asks for `url`.

        Raises:
            NothingThere: Yahoo has no such ticker, or nothing of it in the range.
            NoSense: it fails, or answers something else than prices.
            BrokerUnavailable: it does not answer, or refuses.
        """
        found = _CHART.search(url)
        if found is None:
            # Cookies: yfinance goes on without them.
            return self._paced(once)
        ticker = found["ticker"]
        for pause in (None,) if self._given_up else (*PAUSES, None):
            trouble, asked_for, kind = "", 0.0, BrokerUnavailable
            try:
                answer = self._paced(once)
            except OSError as error:
                trouble = f"{type(error).__name__}: {error}"
            else:
                trouble, asked_for = self._judged(answer)
                if not trouble:
                    self._note(ticker, answer)
                    return answer
                kind = BrokerUnavailable if int(answer.status_code) == _OVERLOADED else NoSense
            if pause is not None:
                self.wait(min(max(pause, asked_for), _LONGEST_PAUSE))
        self._given_up = True
        raise kind(
            f"Yahoo gives no prices of {ticker}: {trouble}.",
            remedy="Nothing was stored from the answer. Run again later; what is missing is then fetched.",
        )

    def _judged(self, answer: Any) -> tuple[str, float]:
        """`_trouble`; whatever makes sense ends an outage."""
        try:
            trouble = _trouble(answer)
        except NothingThere:
            self._given_up = False
            raise
        if not trouble[0]:
            self._given_up = False
        return trouble

    def _paced(self, once: Callable[[], Any]) -> Any:
        with self._lock:
            pause = self._next - self.monotonic()
            if pause > 0:
                self.wait(pause)
            self._next = self.monotonic() + 1 / REQUESTS_PER_SECOND
            self.calls += 1
            return once()

    def _note(self, ticker: str, answer: Any) -> None:
        if answer.status_code >= _FIRST_ERROR:
            return
        result = answer.json()["chart"]["result"][0]
        meta = result.get("meta") or {}
        self.meta[ticker] = meta
        dividends = (result.get("events") or {}).get("dividends") or {}
        for row in dividends.values():
            if row.get("currency") and row["currency"] != meta.get("currency"):
                self.paid_in[ticker, datetime.fromtimestamp(row["date"], UTC)] = str(row["currency"])


def _trouble(answer: Any) -> tuple[str, float]:
    """What is wrong with the answer, if anything that may pass, and the seconds that Yahoo wants to be left alone.

    Raises:
        NothingThere: see `Wire.send`.
    """
    status = int(answer.status_code)
    if status == _OVERLOADED:
        return "it has had too many requests (429)", _retry_after(answer)
    if status >= _FAILED:
        return f"it failed with status {status}", _retry_after(answer)
    body = _json(answer)
    if body is None:
        return f"it answered with a page in place of prices (status {status})", 0.0
    chart = body.get("chart")
    error = (chart or {}).get("error") if isinstance(chart, Mapping) else None
    if status in _NOT_FOUND and isinstance(error, Mapping):
        said = f"{error.get('code')}: {error.get('description')}"
        if _NONE_THERE.search(said):
            raise NothingThere(said)
        return f"it says '{said}' (status {status})", 0.0
    if status >= _FIRST_ERROR:
        # A cookie that has run out: yfinance fetches another one and asks again.
        return "", 0.0
    result = chart.get("result") if isinstance(chart, Mapping) else None
    if not isinstance(result, list) or not result or not isinstance(result[0], Mapping):
        return "its answer is empty", 0.0
    return "", 0.0


def _json(answer: Any) -> Mapping[str, Any] | None:
    try:
        body = answer.json()
    except ValueError:
        return None
    return body if isinstance(body, Mapping) else None


def _retry_after(answer: Any) -> float:
    said = str(answer.headers.get("Retry-After") or "")
    return float(said) if said.isdigit() else 0.0


def open_session(wire: Wire) -> Any:
    """A session for yfinance whose every request passes `wire`.

    Raises:
        ImportError: the package is missing.
    """
    from curl_cffi import requests

    class Watched(requests.Session):  # type: ignore[misc, type-arg, unused-ignore]
        def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Any:
            return wire.send(url, lambda: super(Watched, self).request(method, url, *args, **kwargs))

    return Watched(impersonate="chrome")
