"""How a broker is reached: keys that accounts and price providers have in common.

What belongs here: addresses, time limits, and the names of environment variables that hold secrets. What does
not: a secret itself. It is read where a connection is opened (`brokers.opening`), and never becomes part of
the configuration.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from scizor_dagster.config.base import Model

Environment = Literal["paper", "live"]
SECRET_KEYS = frozenset({"key_id", "secret_key"})
"""Keys whose `${NAME}` stays a name: their values never pass through the configuration."""


def _number(value: Any) -> Any:
    """A whole number that came as text, from `${IBKR_PORT}`."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value


SecretReference = Annotated[str, Field(pattern=r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$")]
Url = Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.\-\[\]:]+$")]
Seconds = Annotated[float, Field(gt=0.0, le=300.0)]
AccountId = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{3,32}$")]
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

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.\-:]+$")] = "127.0.0.1"
    port: Port
    client_id: ClientId
    account_id: AccountId
    timeout: Seconds = 20.0
    time_zone: str = "US/Eastern"
    execution_days: Annotated[int, Field(ge=1, le=7)] = 1

    @property
    def place(self) -> tuple[str, int, int]:
        """What can be connected once: one client id at one TWS."""
        return self.host, self.port, self.client_id

    def connection_keys(self) -> dict[str, Any]:
        """The keys of the connection alone, whatever it is used for."""
        return {name: getattr(self, name) for name in IbkrConnection.model_fields}
