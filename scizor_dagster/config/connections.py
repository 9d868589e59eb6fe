"""How a broker is reached: keys that accounts and price providers have in common.

What belongs here: addresses, time limits, and the names of environment variables that hold secrets. What does
not: a secret itself. It is read where a connection is opened (`brokers.opening`), and never becomes part of
the configuration.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field

from scizor_dagster.config.base import Model

Environment = Literal["paper", "live"]
_URL = re.compile(r"^https?://[A-Za-z0-9.\-\[\]:]+\Z")
_ACCOUNT_ID = re.compile(r"^[A-Za-z0-9]{3,32}\Z")
_HOST = re.compile(r"^[A-Za-z0-9._\-:]+\Z")
SECRET_KEYS = frozenset({"key_id", "secret_key", "targets"})
"""Keys whose `${NAME}` stays a name, also in what stands below them: their values never pass through the
configuration."""


def _number(value: Any) -> Any:
    """A whole number that came as text, from `${IBKR_PORT}`."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or not _URL.match(text):
        raise ValueError("it must be an address without path, key or password, such as http://127.0.0.1:8090")
    return text


def _account_id(text: str) -> str:
    if not _ACCOUNT_ID.match(text):
        raise ValueError("it must be the account's id, letters and digits only, as the broker shows it")
    return text


def _host(text: str) -> str:
    if not _HOST.match(text):
        raise ValueError("it must be a name or an address of a machine, without http:// and port")
    return text


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("it must be a time zone of the IANA database, such as US/Eastern or Europe/Berlin") from error
    return text


Url = Annotated[str, AfterValidator(_address)]
AccountId = Annotated[str, AfterValidator(_account_id)]
Host = Annotated[str, AfterValidator(_host)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
SecretReference = Annotated[str, Field(pattern=r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$")]
Seconds = Annotated[float, Field(gt=0.0, le=300.0)]
Port = Annotated[int, Field(ge=1, le=65535), BeforeValidator(_number)]
ClientId = Annotated[int, Field(ge=0, le=2**31 - 1), BeforeValidator(_number)]


class AlpacaConnection(Model):
    """One pair of keys at Alpaca.

    Attributes:
        environment: Which of Alpaca's two trading addresses is meant.
        key_id: Name of the environment variable, as `${NAME}`; `secret_key` likewise.
        url: Another trading address, such as an exchange to rehearse on; it gets the keys.
        data_url: Another address for prices; by default `url` where that is set, else Alpaca's own.
        feed: Which exchanges prices come from: `sip` is all of them.
        timeout: Seconds of silence within a reply.
    """

    environment: Environment = "paper"
    key_id: SecretReference = "${APCA_API_KEY_ID}"
    secret_key: SecretReference = "${APCA_API_SECRET_KEY}"  # noqa: S105 - a name
    url: Url | None = None
    data_url: Url | None = None
    feed: Literal["iex", "sip"] = "sip"
    timeout: Seconds = 20.0
    requests_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 200


class IbkrConnection(Model):
    """One client of a TWS or a Gateway.

    Attributes:
        account_id: The account that TWS must be logged in to.
        client_id: Unique among the programs that are connected to this TWS.
        timeout: Seconds that any one answer may take.
        time_zone: Zone set in TWS.
        execution_days: Days of executions that TWS shows; more than 1 needs its trade-log setting.
    """

    host: Host = "127.0.0.1"
    port: Port
    client_id: ClientId
    account_id: AccountId
    timeout: Seconds = 20.0
    time_zone: TimeZone = "US/Eastern"
    execution_days: Annotated[int, Field(ge=1, le=7)] = 1

    @property
    def place(self) -> tuple[str, int, int]:
        """What can be connected once: one client id at one TWS."""
        return self.host, self.port, self.client_id

    def connection_keys(self) -> dict[str, Any]:
        """The keys of the connection alone, whatever it is used for."""
        return {name: getattr(self, name) for name in IbkrConnection.model_fields}
