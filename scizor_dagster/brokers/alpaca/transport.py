"""One request, one reply: the SDK's client with its retry off, a timeout on, and every answer guarded.

What belongs here: sending, reading, pacing, and telling an answer from none. What does not: what an
answer means (`outcomes`).

Left to itself the SDK sends a POST up to four times, waits for ever for a reply, and fails on an error
that is no JSON. `send` sends once; only reads are tried again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from alpaca.common.exceptions import APIError
from alpaca.common.rest import RESTClient
from requests.adapters import HTTPAdapter

from scizor_dagster.brokers.alpaca.pacing import WINDOW, Seconds, Wait, shared_pacer
from scizor_dagster.brokers.alpaca.settings import AlpacaSettings, Api
from scizor_dagster.errors import BrokerUnavailable

_SHOWN = 200
_BACKOFF = (0.5, 1.0, 2.0, 4.0)
_SERVER_ERROR = 500
_TOO_MANY = 429
_OK = 200


class NoReply(Exception):
    """Nothing came back that is an answer: a timeout, a dropped connection, a body that cannot be read."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer over HTTP.

    Attributes:
        body: Parsed JSON; None where there is none.
        text: Beginning of the body, for people.
    """

    status: int
    body: Any
    text: str = ""

    @property
    def code(self) -> int | None:
        """Alpaca's number of an error; None where the body has none."""
        found = self.body.get("code") if isinstance(self.body, dict) else None
        return found if isinstance(found, int) and not isinstance(found, bool) else None

    @property
    def message(self) -> str:
        found = self.body.get("message") if isinstance(self.body, dict) else None
        return str(found) if found else self.text or f"HTTP {self.status}"


class _TimeoutAdapter(HTTPAdapter):
    """Puts a timeout on every request; the SDK passes none."""

    def __init__(self, timeout: tuple[float, float]) -> None:
        self._timeout = timeout
        super().__init__()

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["timeout"] = self._timeout
        return super().send(request, *args, **kwargs)


class _Client(RESTClient):
    """The SDK's client, which sends each request once and waits for a limited time."""

    def __init__(self, url: str, settings: AlpacaSettings) -> None:
        super().__init__(base_url=url, api_key=settings.key_id, secret_key=settings.secret_key, raw_data=True)
        # Its constructor takes no zero: the only way to have no retry is the attribute itself.
        self._retry = 0
        adapter = _TimeoutAdapter((settings.connect_timeout, settings.read_timeout))
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._session.hooks["response"].append(_no_redirect)

    def once(self, method: str, path: str, data: Mapping[str, Any] | None, version: str) -> Any:
        return self._request(method, path, dict(data) if data is not None else None, api_version=version)

    def close(self) -> None:
        self._session.close()


def _no_redirect(response: requests.Response, *_: Any, **__: Any) -> None:
    """The SDK takes a redirect without a body for a success; an API that moves has not answered."""
    if response.is_redirect:
        raise requests.TooManyRedirects(f"HTTP {response.status_code} to {response.headers.get('location')}")


class Transport:
    """One side of the API, trading or data. All of one account in a process keep one limit together.

    Args:
        clock: Monotonic seconds.
        wait: Called with seconds, returns after them.
    """

    def __init__(self, side: Api, settings: AlpacaSettings, clock: Seconds, wait: Wait) -> None:
        self.url = settings.address(side)
        self._client = _Client(self.url, settings)
        self._attempts = settings.read_attempts
        self._pacer = shared_pacer(self.url, side, settings.key_id, settings.limit(side), clock, wait)
        self._wait = wait

    def close(self) -> None:
        self._client.close()

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """Send once.

        Raises:
            NoReply: whether it has arrived is not known.
        """
        return self._once(method, path, body, "v2")

    def read(
        self,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        what: str,
        version: str = "v2",
        absent: bool = False,
    ) -> Reply:
        """Read, again where the broker did not answer.

        Returns:
            An answer with status 200, or with 404 where `absent` is an answer as well.

        Raises:
            BrokerUnavailable: no answer after all attempts, or one that is a refusal.
        """
        cause = ""
        for attempt in range(self._attempts):
            if attempt:
                self._wait(_BACKOFF[min(attempt, len(_BACKOFF)) - 1])
            try:
                reply = self._once("GET", path, query, version)
            except NoReply as failure:
                cause = str(failure)
                continue
            if reply.status == _OK and reply.body is not None:
                return reply
            if reply.status == requests.codes.not_found and absent:
                return reply
            cause = f"HTTP {reply.status}: {reply.message}"
            if reply.status == _TOO_MANY:
                self._pacer.hold(WINDOW / self._attempts)
            elif reply.status < _SERVER_ERROR and reply.status != _OK:
                break
        raise BrokerUnavailable(
            f"Alpaca cannot be read ({what}): {cause}.",
            remedy="Nothing was sent. Check the keys, the address and https://status.alpaca.markets, then run again.",
            where=self.url + path,
        )

    def _once(self, method: str, path: str, data: Mapping[str, Any] | None, version: str) -> Reply:
        self._pacer.take()
        try:
            return Reply(_OK, self._client.once(method, path, data, version))
        except APIError as error:
            text = str(error)
            return Reply(error.status_code or 0, _json(text), " ".join(text.split())[:_SHOWN])
        except requests.RequestException as failure:
            # An unreadable body among them: what is no JSON is no acknowledgement.
            raise NoReply(f"{type(failure).__name__}: {str(failure)[:_SHOWN]}") from failure


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
