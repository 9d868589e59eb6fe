"""The desk opens a broker when it is asked for one, once, and connects with the first question."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.brokers.alpaca.broker import AlpacaBroker
from scizor_dagster.brokers.capabilities import account_capabilities
from scizor_dagster.brokers.ibkr.broker import IbkrBroker
from scizor_dagster.brokers.protocol import BrokerIdentity, TimeInForce
from scizor_dagster.errors import ConfigError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import execution_settings
from scizor_dagster.market_data.alpaca import AlpacaMarket
from scizor_dagster.market_data.ibkr import IbkrMarket
from scizor_dagster.settings import Settings
from tests.projects import small_project

ALPACA = {"broker": "alpaca", "environment": "paper", "account_id": "PA123456789", "initial_cash": 5000.0}
IBKR = {"broker": "ibkr", "environment": "paper", "account_id": "DU1234567", "port": 7497, "client_id": 4}
KEYS = {"APCA_API_KEY_ID": "PKA", "APCA_API_SECRET_KEY": "s"}
NOON = datetime(2025, 3, 3, 17, tzinfo=UTC)


def desk_with(folder: Path, account: dict[str, Any], environment: dict[str, str] = KEYS, **changes: Any) -> Desk:
    accounts = {"paper": None, "one": {"initial_cash": 5000.0, **account}}
    project = small_project(folder, accounts=accounts, portfolios={"main": {"account": "one"}}, **changes)
    return Desk(Settings.from_environment({**project.environment, **environment}), lambda: NOON)


@pytest.mark.parametrize(("account", "kind"), [(ALPACA, AlpacaBroker), (IBKR, IbkrBroker)])
def test_the_broker_of_an_account_is_one_object_and_nothing_connects_before_it_is_asked(
    tmp_path, account, kind, monkeypatch
):
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    desk = desk_with(tmp_path, account)
    broker = desk.broker("one", "us")
    assert isinstance(broker, kind)
    assert desk.broker("one", "us") is broker
    assert broker.capabilities.times_in_force == {TimeInForce.DAY}
    assert not broker.advance(date(2025, 3, 3))
    desk.disconnect()


@pytest.mark.parametrize("account", [ALPACA, IBKR])
def test_an_account_that_may_trade_in_auctions_says_so_and_plans_on_files_know_it(tmp_path, account):
    desk = desk_with(tmp_path, account | {"auction_orders": True})
    assert desk.broker("one", "us").capabilities.times_in_force == set(TimeInForce)
    assert account_capabilities(desk.account("one")).times_in_force == set(TimeInForce)


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (ALPACA, BrokerIdentity("alpaca", "paper", "PA123456789")),
        (IBKR, BrokerIdentity("ibkr", "paper", "DU1234567")),
        (
            ALPACA | {"environment": "live", "account_id": "932473521"},
            BrokerIdentity("alpaca", "live", "932473521"),
        ),
    ],
)
def test_an_execution_expects_the_account_that_is_pinned_and_trades_real_money_only_so(tmp_path, account, expected):
    settings = execution_settings(desk_with(tmp_path, account), "main")
    assert settings.identity == expected
    assert settings.live_trading is (expected.environment == "live")
    assert settings.live_session == NOON.date()


@pytest.mark.parametrize("account", [ALPACA, IBKR])
def test_a_run_at_a_broker_waits_for_as_long_as_the_configuration_says(tmp_path, account, monkeypatch):
    asked: list[float] = []
    kind = AlpacaBroker if account is ALPACA else IbkrBroker
    monkeypatch.setattr(kind, "wait_for_news", lambda _, seconds: asked.append(seconds))
    rules = {"wait_seconds": 600, "poll_seconds": 7, "sells_within_minutes": 20}
    settings = execution_settings(desk_with(tmp_path, account, execution=rules), "main")
    assert (settings.sells_within, settings.wait is None) == (timedelta(minutes=20), False)
    assert settings.wait()
    assert asked == [7]
    assert settings.opens_at(date(2025, 3, 3)) == datetime(2025, 3, 3, 14, 30, tzinfo=UTC)


def test_nobody_waits_where_none_is_wanted(tmp_path):
    assert execution_settings(desk_with(tmp_path, ALPACA, execution={"wait_seconds": 0}), "main").wait is None


def test_nobody_waits_for_the_embedded_exchange_and_no_clock_cancels_its_sales(tmp_path):
    desk = desk_with(tmp_path, {"broker": "paper"}, execution={"sells_within_minutes": 5})
    settings = execution_settings(desk, "main")
    assert (settings.wait, settings.sells_within) == (None, None)


def test_host_port_and_client_id_come_from_the_environment_where_the_configuration_says_so(tmp_path):
    named = {"host": "${IBKR_HOST}", "port": "${IBKR_PORT}", "client_id": "${IBKR_CLIENT_ID}"}
    environment = {"IBKR_HOST": "tws.local", "IBKR_PORT": "4002", "IBKR_CLIENT_ID": "12"}
    account = desk_with(tmp_path, IBKR | named, environment).account("one")
    assert account.place == ("tws.local", 4002, 12)


@pytest.mark.parametrize("port", ["7497x", "0", "70000", "-1", "7_497"])
def test_a_port_of_the_environment_that_is_none_is_refused_with_its_line(tmp_path, port):
    with pytest.raises(ConfigError, match=r"config.yaml:\d+: accounts.one.port: "):
        _ = desk_with(tmp_path, IBKR | {"port": "${IBKR_PORT}"}, {"IBKR_PORT": port}).config


def test_a_configuration_holds_no_secret_and_loads_without_one(tmp_path):
    assert "geheim" not in repr(desk_with(tmp_path, ALPACA, {"APCA_API_SECRET_KEY": "geheim"}).config)
    desk = desk_with(tmp_path, ALPACA, {})
    assert desk.account("one").secret_key == "${APCA_API_SECRET_KEY}"
    with pytest.raises(ConfigError, match=r"accounts\.one\.key_id: The environment variable APCA_API_KEY_ID is unset"):
        desk.broker("one", "us")


@pytest.mark.parametrize(
    ("provider", "kind", "adjustment"),
    [
        ({"type": "alpaca", "feed": "iex"}, AlpacaMarket, "raw"),
        ({"type": "ibkr", "account_id": "DU1234567", "port": 7497, "client_id": 5, "seed": None}, IbkrMarket, "split"),
    ],
)
def test_prices_come_from_a_broker_where_the_market_says_so(tmp_path, provider, kind, adjustment):
    markets = {"us": {"provider": {name: value for name, value in provider.items() if value is not None}}}
    desk = desk_with(tmp_path, ALPACA, markets=markets)
    assert isinstance(desk.provider("us"), kind)
    assert desk.provider("us").adjustment == adjustment


def test_prices_and_orders_share_a_client_id_only_where_all_of_the_connection_is_the_same(tmp_path):
    provider = {"type": "ibkr", "account_id": "DU1234567", "port": 7497, "client_id": 4}
    desk = desk_with(tmp_path, IBKR, markets={"us": {"provider": provider}})
    assert desk.provider("us")._connection is desk.broker("one", "us")._connection
    with pytest.raises(ConfigError, match="share client id 4 and differ in other keys"):
        _ = desk_with(tmp_path, IBKR, markets={"us": {"provider": provider | {"timeout": 3.0}}}).config
