"""The one connection of a process to a TWS: a thread of its own, with the loop that the library lives in.

What belongs here: connecting, calling into the loop with a time limit, errors by request, connectivity.
What does not: what is asked (`reads`, `sending`, `market_data.ibkr`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any, TypeVar

from scizor_dagster.brokers.ibkr import sdk
from scizor_dagster.brokers.ibkr.codes import Meaning, meaning
from scizor_dagster.brokers.ibkr.settings import IbkrSettings
from scizor_dagster.errors import BrokerError, BrokerUnavailable, ScizorError, WrongAccount

T = TypeVar("T")
_GRACE = 2.0
"""Seconds beyond an answer's own limit after which the loop itself counts as stuck."""
_REMEMBERED = 1000
MESSAGES_PER_SECOND = 48
"""TWS takes 50 (TWS API, message limits); two are left for messages that catch up with each other on the way."""


@dataclass(frozen=True, slots=True)
class ApiMessage:
    """An error message as it came: the request's id, or -1 for the system."""

    req_id: int
    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


class IbkrConnection:
    """Connects on first use, and again after it was lost. Safe to call from several threads."""

    def __init__(self, settings: IbkrSettings) -> None:
        self.settings = settings
        self.ib: Any = None
        self.library: Any = None
        self.whole = True
        """Whether TWS itself reaches its servers; between 1100 and 1101 or 1102 nothing it says is complete."""
        self.messages: list[ApiMessage] = []
        self.listeners: list[Callable[[ApiMessage], None]] = []
        self._calls = threading.RLock()
        self._doubtful = False
        self._questions = threading.Lock()
        self._pushed = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def ask(self, work: Callable[[], Coroutine[Any, Any, T]], what: str) -> T:
        """`call`, one question after the other: the library tells answers of one kind apart by nothing else.

        Raises:
            BrokerUnavailable: as `call` does, and where a message came meanwhile that the library could not read.
        """
        with self._questions:
            before = sdk.undecoded()
            answer = self.call(work, what)
            if sdk.undecoded() != before:
                raise self.unavailable(
                    f"{what}: a message of TWS could not be read, and may be missing in the answer",
                    remedy="Nothing was concluded from it. Run again; if it stays so, the versions of TWS and of the "
                    "client library do not fit each other.",
                )
            return answer

    def call(self, work: Callable[[], Coroutine[Any, Any, T]], what: str, limit: float | None = None) -> T:
        """Connect where needed, run `work` in the loop, and return its result. Several may be under way.

        `limit` is the time in seconds that work of many questions may take; one question's own by default.

        Raises:
            BrokerUnavailable: no connection, no answer in time, or an answer that is an error.
            WrongAccount: TWS is logged in to another account, or to one with real money.
        """
        self.connect()
        return self._run(work(), what, limit)

    def connect(self) -> None:
        """Connect, unless it is connected; see `call` for what it raises."""
        with self._calls:
            self._start()
            if self._doubtful and self.ib.isConnected():
                self._run(self._heartbeat(), "heartbeat", self.settings.timeout * 2)
            if not self.ib.isConnected():
                self._run(self._connect(), "connecting", self.settings.timeout * 2)

    def close(self) -> None:
        """Disconnect and end the thread; the next call starts afresh."""
        with self._calls:
            loop, thread = self._loop, self._thread
            if loop is None or thread is None:
                return
            self._submit(self._disconnect()).result(_GRACE + self.settings.timeout)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_GRACE + self.settings.timeout)
            loop.close()
            self._loop = self._thread = self.ib = None

    def wait_for_push(self, seconds: float) -> None:
        """Return once something of an order is pushed, or after `seconds`.

        What was pushed before is no news: the answers to our own questions are among it.
        """
        self._pushed.clear()
        self._pushed.wait(seconds)

    def require_whole(self, what: str) -> None:
        """Raise `BrokerUnavailable` where TWS is cut off from its servers."""
        if not self.whole:
            raise self.unavailable(f"{what}: TWS has lost its own connection to the servers (1100)")

    def unavailable(self, problem: str, *, remedy: str | None = None) -> BrokerUnavailable:
        return BrokerUnavailable(
            f"IBKR cannot answer ({problem}).",
            remedy=remedy or "Nothing was sent. See that TWS or the Gateway runs and is logged in, and run again.",
            where=f"TWS at {self.settings.place}, client id {self.settings.client_id}",
        )

    async def answer(self, request: Awaitable[T], what: str, limit: float | None = None) -> T:
        """Wait for one answer of the library, for at most `limit` seconds.

        Raises:
            BrokerUnavailable: it did not come, or the connection was lost.
        """
        try:
            return await asyncio.wait_for(request, limit or self.settings.timeout)
        except TimeoutError as late:
            self._doubtful = True
            raise self.unavailable(f"no answer within {limit or self.settings.timeout:g} s: {what}") from late
        except OSError as lost:
            raise self.unavailable(f"the connection was lost: {what}: {lost}") from lost

    async def _heartbeat(self) -> None:
        """A connection that has left a question open answers another one, or is given up: nobody else says so."""
        self._doubtful = False
        try:
            await asyncio.wait_for(self.ib.reqPositionsAsync(), self.settings.timeout)
        except OSError:
            await self._disconnect()

    def _start(self) -> None:
        if self._loop is not None:
            return
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._live, args=(ready,), name="ibkr", daemon=True)
        self._thread.start()
        ready.result(self.settings.timeout + _GRACE)

    def _live(self, ready: Future[None]) -> None:
        """Body of the thread: the library is loaded here, for it takes the loop of the thread it is loaded in."""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            self.library = sdk.load()
            asyncio.set_event_loop(loop)
            self.ib = self.library.IB()
            self.ib.client.MaxRequests = MESSAGES_PER_SECOND
            self.ib.RaiseRequestErrors = True
            self.ib.RequestTimeout = self.settings.timeout
            self.ib.TimezoneTWS = self.settings.time_zone
            self.ib.errorEvent += self._on_error
            self.ib.orderStatusEvent += self._on_push
            self.ib.execDetailsEvent += self._on_push
            self._loop = loop
        except BaseException as failure:
            ready.set_exception(failure)
            return
        ready.set_result(None)
        loop.run_forever()

    def _on_push(self, *_: Any) -> None:
        self._pushed.set()

    def _on_error(self, req_id: int, code: int, text: str, *_: Any) -> None:
        message = ApiMessage(req_id, code, text)
        if meaning(code) is Meaning.LOST:
            self.whole = False
        elif meaning(code) is Meaning.RESTORED:
            self.whole = True
        self.messages.append(message)
        del self.messages[:-_REMEMBERED]
        for listener in list(self.listeners):
            listener(message)

    async def _connect(self) -> None:
        """The handshake alone: the library's own start-up fails where message 55 is left out."""
        settings, seen = self.settings, len(self.messages)
        self.whole = True
        self.ib.wrapper.clientId = settings.client_id
        try:
            await self.ib.client.connectAsync(settings.host, settings.port, settings.client_id, settings.timeout)
        except TimeoutError as late:
            clash = next((row for row in self.messages[seen:] if row.code == 326), None)
            if clash is not None:
                raise self.unavailable(
                    f"client id {settings.client_id} is in use: {clash.text}",
                    remedy="End the other program, or give this one a client id of its own in the configuration.",
                ) from late
            raise self.unavailable("TWS takes the connection and does not answer") from late
        except OSError as refused:
            raise self.unavailable(f"no connection: {refused}") from refused
        try:
            self._check_account()
            await self.answer(self.ib.reqPositionsAsync(), "positions")
        except BrokerError:
            await self._disconnect()
            raise

    def _check_account(self) -> None:
        """The account that TWS says it is, against the one that is configured; real money is refused."""
        settings, logged_in = self.settings, list(self.ib.client.getAccounts())
        if settings.account not in logged_in:
            raise WrongAccount(
                f"TWS is logged in to {', '.join(logged_in)}, and account {settings.account} is configured.",
                remedy="Log in to the account that is pinned, or correct the configuration.",
                where=f"TWS at {settings.place}",
                limit="account_identity",
                value=", ".join(logged_in),
                threshold=settings.account,
            )
        live = [account for account in logged_in if not account.startswith("D")]
        if live:
            raise WrongAccount(
                f"TWS is logged in to {live[0]}, which is an account with real money.",
                remedy="Log in to a paper account; its id begins with D.",
                where=f"TWS at {settings.place}",
                limit="live_trading",
                value=live[0],
                threshold="paper",
            )

    async def _disconnect(self) -> None:
        """Close the socket and see it closed."""
        connection = self.ib.client.conn
        if connection.isConnected():
            gone = asyncio.get_running_loop().create_future()

            def closed(_: str) -> None:
                if not gone.done():
                    gone.set_result(None)

            connection.disconnected += closed
            self.ib.client.disconnect()
            await asyncio.wait_for(gone, _GRACE)

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self, work: Coroutine[Any, Any, T], what: str, limit: float | None = None) -> T:
        """A result of the loop; the library's own exceptions become ours."""
        future = self._submit(work)
        patience = (limit or self.settings.timeout * 4) + _GRACE
        try:
            return future.result(patience)
        except ScizorError:
            raise
        except (FutureTimeout, TimeoutError) as late:
            future.cancel()
            raise self.unavailable(f"no answer within {patience:g} s: {what}") from late
        except OSError as lost:
            raise self.unavailable(f"the connection was lost: {what}: {lost}") from lost
        except Exception as failure:
            raise self.unavailable(f"{what}: {type(failure).__name__}: {failure}") from failure


_shared: dict[tuple[str, int, int, str], IbkrConnection] = {}
_sharing = threading.Lock()


def shared_connection(settings: IbkrSettings) -> IbkrConnection:
    """The connection of this process to a TWS: the same one for broker and prices of an account, made on first use."""
    key = (settings.host, settings.port, settings.client_id, settings.account)
    with _sharing:
        return _shared.setdefault(key, IbkrConnection(settings))
