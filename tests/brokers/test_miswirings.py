"""Sixty ways to wire the wrong account, over both wires and through the executor: none of them sends an order."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.brokers.alpaca import transport
from scizor_dagster.brokers.alpaca.settings import LIVE_URL, PAPER_URL
from scizor_dagster.brokers.ibkr.connection import IbkrConnection
from scizor_dagster.brokers.opening import ibkr_settings
from scizor_dagster.config import IbkrAccount
from scizor_dagster.errors import BrokerUnavailable, ConfigError, RiskLimitBreached, ScizorError, WrongAccount
from scizor_dagster.execution.executor import ExecutionResult, execute
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import execution_parts
from scizor_dagster.paper_exchange import venue_books
from scizor_dagster.paper_exchange.alpaca_door import render_account
from scizor_dagster.paper_exchange.tws_door.server import RunningTws, serve_tws
from scizor_dagster.planning.model import Side
from scizor_dagster.risk.events import risk_events_of
from tests.acceptance.wires import (
    DAY,
    ENVIRONMENT,
    EVE,
    KEY,
    LIVE_ACCOUNT,
    NAMES,
    OTHER_KEY,
    OTHER_SECRET,
    OTHERS,
    SECRET,
    WIRES,
    Wires,
    open_wires,
)
from tests.execution.scenario import UNLIMITED, order, plan_of
from tests.paper_exchange.market import fresh_ledger

LIVE_NUMBER, SYMBOL = "932473521", "AAPL"
MISSING = None


@dataclass
class Switchboard:
    """The exchange, and more places to end up at: other logins of TWS, and ports that are something else."""

    wires: Wires
    tws: Mapping[str, RunningTws]
    numbers: Mapping[str, str]
    opened: list[Desk] = field(default_factory=list)

    def orders(self) -> int:
        names = (*NAMES.values(), *OTHERS.values(), LIVE_ACCOUNT)
        return sum(len(self.wires.hall.all_orders(name)) for name in names)

    def filled_in(self, value: Any) -> Any:
        """Names of places of this run in a row of the table, such as `{tws:both}`."""
        if not isinstance(value, str) or not value.startswith("{"):
            return value
        kind, _, name = value.strip("{}").partition(":")
        return {
            "tws": lambda: self.tws[name].port,
            "number": lambda: self.numbers[name],
            "http": lambda: f"http://127.0.0.1:{self.tws['paper'].port}",
            "door": lambda: int(str(self.wires.keys["alpaca"]["url"]).rpartition(":")[2]),
        }[kind]()

    def trade(
        self,
        folder: Path,
        wire: str,
        changes: Mapping[str, Any],
        environment: Mapping[str, str],
        session: date = DAY,
    ) -> ExecutionResult:
        """One buy order on an account with this configuration, by the same parts as every run."""
        account = {**self.wires.keys[wire], "timeout": 1.0}
        account |= {name: self.filled_in(value) for name, value in changes.items()}
        account = {name: value for name, value in account.items() if value is not MISSING}
        (folder / "home").mkdir()
        fresh_ledger(folder / "home").close()
        desk = self.wires.desk(folder, account, {k: v for k, v in environment.items() if v is not MISSING})
        self.opened.append(desk)
        return buy(desk, session)


def buy(desk: Desk, session: date = DAY) -> ExecutionResult:
    parts = execution_parts(desk, "main", "test")
    parts["settings"] = replace(parts["settings"], limits=UNLIMITED)
    plan = plan_of([order("b", "AAA", Side.BUY, "2")], session=session)
    orders = tuple(row._replace(symbol=SYMBOL) for row in plan.orders)
    lines = tuple(row._replace(symbol=SYMBOL) for row in plan.lines)
    return execute(replace(plan, account="broker", orders=orders, lines=lines), **parts)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switchboard]:
    with pytest.MonkeyPatch.context() as patch, open_wires(tmp_path_factory.mktemp("exchange")) as wires:
        # The exchange gives every account a paper number; here one has that of an account with real money.
        patch.setattr(venue_books, "_PAPER_NUMBER", re.compile(r"^D?U\d{4,9}$"))
        venue = wires.hall.venue
        logins = {
            "paper": [NAMES["ibkr"]],
            "other": [OTHERS["ibkr"]],
            "both": [NAMES["ibkr"], OTHERS["ibkr"]],
            "live": [LIVE_ACCOUNT],
            "mixed": [NAMES["ibkr"], LIVE_ACCOUNT],
        }
        tws = {name: serve_tws(venue, accounts) for name, accounts in logins.items()}
        numbers = {
            name: render_account.account_number(venue.account(names["alpaca"]))
            for name, names in (("own", NAMES), ("other", OTHERS))
        }
        yield Switchboard(wires, tws, numbers)
        for server in tws.values():
            server.close()


@pytest.fixture(autouse=True)
def closed(board: Switchboard, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(transport, "_BACKOFF", (0.0,))
    yield
    for desk in board.opened:
        desk.disconnect()
    board.opened.clear()


def keys(key: str | None, secret: str | None) -> dict[str, Any]:
    return {"APCA_API_KEY_ID": key, "APCA_API_SECRET_KEY": secret}


AT_ALPACA: dict[str, tuple[dict[str, Any], dict[str, Any], type[ScizorError], str]] = {
    "the keys of another account": (
        {},
        keys(OTHER_KEY, OTHER_SECRET),
        WrongAccount,
        "the configuration expects alpaca",
    ),
    "the names of the other account's keys": (
        {"key_id": "${OTHER_KEY_ID}", "secret_key": "${OTHER_SECRET_KEY}"},
        {},
        WrongAccount,
        "the configuration expects",
    ),
    "the other account's number": ({"account_id": "{number:other}"}, {}, WrongAccount, "the configuration expects"),
    "a number with a typo": ({"account_id": "PA0000000000"}, {}, WrongAccount, "the configuration expects"),
    "another key with this secret": ({}, keys(OTHER_KEY, SECRET), BrokerUnavailable, "HTTP 401|HTTP 403"),
    "this key with another secret": ({}, keys(KEY, OTHER_SECRET), BrokerUnavailable, "HTTP 401|HTTP 403"),
    "key and secret swapped": ({}, keys(SECRET, KEY), BrokerUnavailable, "HTTP 401|HTTP 403"),
    "keys that nobody knows": ({}, keys("PKNOBODY", "nothing"), BrokerUnavailable, "HTTP 401|HTTP 403"),
    "a live key": ({}, keys("AKLIVE", SECRET), ScizorError, "live account|HTTP 401|HTTP 403"),
    "no key": ({}, keys(MISSING, SECRET), ConfigError, "APCA_API_KEY_ID is unset"),
    "no secret": ({}, keys(KEY, MISSING), ConfigError, "APCA_API_SECRET_KEY is unset"),
    "a blank secret": ({}, keys(KEY, "  "), ConfigError, "APCA_API_SECRET_KEY is unset or empty"),
    "a variable that is not set": ({"secret_key": "${NOT_SET}"}, {}, ConfigError, "NOT_SET is unset"),
    "the secret in the file": ({"secret_key": SECRET}, {}, ConfigError, "a secret never stands in the file"),
    "the key in the file": ({"key_id": KEY}, {}, ConfigError, "a secret never stands in the file"),
    "a number in small letters": ({"account_id": "pa0000000000"}, {}, ConfigError, "begins with PA"),
    "a name as the number": ({"account_id": "alpaca-one"}, {}, ConfigError, "account_id"),
    "an empty number": ({"account_id": ""}, {}, ConfigError, "account_id"),
    "no number": ({"account_id": MISSING}, {}, ConfigError, "account_id: the key is missing"),
    "a live number called paper": ({"account_id": LIVE_NUMBER}, {}, ConfigError, "is not a paper account"),
    "a paper number called live": ({"environment": "live"}, {}, ConfigError, "is not a live account"),
    "the id of a TWS account": ({"account_id": NAMES["ibkr"]}, {}, ConfigError, "is not a paper account"),
    "no environment": ({"environment": MISSING}, {}, ConfigError, "environment: the key is missing"),
    "an environment that is none": ({"environment": "production"}, {}, ConfigError, "environment"),
    "an environment in capitals": ({"environment": "PAPER"}, {}, ConfigError, "environment"),
    "a live account pinned at a paper one": (
        {"environment": "live", "account_id": LIVE_NUMBER},
        {},
        WrongAccount,
        "the configuration expects alpaca live",
    ),
    "the live address for paper": ({"url": LIVE_URL}, {}, ConfigError, "the other one's address"),
    "the live address in capitals": ({"url": "https://API.Alpaca.Markets"}, {}, ConfigError, "the other one's address"),
    "the live address without TLS": ({"url": "http://api.alpaca.markets:443"}, {}, ConfigError, "the other one's"),
    "the paper address for live": (
        {"environment": "live", "account_id": LIVE_NUMBER, "url": PAPER_URL},
        {},
        ConfigError,
        "the other one's address",
    ),
    "an address where a TWS listens": ({"url": "{http:tws}"}, {}, BrokerUnavailable, "cannot be read"),
    "an address where nobody listens": ({"url": "http://127.0.0.1:9"}, {}, BrokerUnavailable, "cannot be read"),
    "an address with a path": ({"url": "http://127.0.0.1:9/v2"}, {}, ConfigError, "url"),
    "an address with a password": ({"url": "http://a:b@127.0.0.1:9"}, {}, ConfigError, "url"),
    "an address that is no URL": ({"url": "127.0.0.1:9"}, {}, ConfigError, "url"),
    "the keys of a TWS": ({"port": 7497, "client_id": 7}, {}, ConfigError, "'port' is not a known key"),
    "another broker's name": ({"broker": "ibkr"}, {}, ConfigError, "not a known key"),
    "a broker that is none": ({"broker": "alpaca_live"}, {}, ConfigError, "the broker is none of"),
    "another currency": ({"currency": "AUD"}, {}, ConfigError, "use an account in the market's currency"),
}
AT_IBKR: dict[str, tuple[dict[str, Any], dict[str, Any], type[ScizorError], str]] = {
    "another account's id": ({"account_id": OTHERS["ibkr"]}, {}, WrongAccount, "is logged in to DU1000001"),
    "an id with a typo": ({"account_id": "DU100001"}, {}, WrongAccount, "is logged in to DU1000001"),
    "a TWS that is logged in to another account": ({"port": "{tws:other}"}, {}, WrongAccount, "logged in to DU1000002"),
    "a TWS that is logged in to real money": ({"port": "{tws:live}"}, {}, WrongAccount, "logged in to U7654321"),
    "a TWS with real money beside": ({"port": "{tws:mixed}"}, {}, WrongAccount, "an account with real money"),
    "real money, pinned as such": (
        {"port": "{tws:live}", "account_id": LIVE_ACCOUNT, "environment": "live"},
        {},
        WrongAccount,
        "real money",
    ),
    "real money beside, pinned as such": (
        {"port": "{tws:mixed}", "account_id": LIVE_ACCOUNT, "environment": "live"},
        {},
        WrongAccount,
        "real money",
    ),
    "a live account pinned at a paper TWS": (
        {"account_id": LIVE_ACCOUNT, "environment": "live"},
        {},
        WrongAccount,
        "is logged in to DU1000001",
    ),
    "a third account at a TWS of two": (
        {"port": "{tws:both}", "account_id": "DU1000003"},
        {},
        WrongAccount,
        "is logged in to DU1000001, DU1000002",
    ),
    "a paper id called live": ({"environment": "live"}, {}, ConfigError, "is not a live account"),
    "a live id called paper": ({"account_id": LIVE_ACCOUNT}, {}, ConfigError, "is not a paper account"),
    "an id in small letters": ({"account_id": "du1000001"}, {}, ConfigError, "begins with D"),
    "the number of an Alpaca account": ({"account_id": "{number:own}"}, {}, ConfigError, "is not a paper account"),
    "an empty id": ({"account_id": ""}, {}, ConfigError, "account_id"),
    "no id": ({"account_id": MISSING}, {}, ConfigError, "account_id: the key is missing"),
    "no environment": ({"environment": MISSING}, {}, ConfigError, "environment: the key is missing"),
    "no port": ({"port": MISSING}, {}, ConfigError, "port: the key is missing"),
    "no client id": ({"client_id": MISSING}, {}, ConfigError, "client_id: the key is missing"),
    "port zero": ({"port": 0}, {}, ConfigError, "port"),
    "a port above all": ({"port": 70000}, {}, ConfigError, "port"),
    "a port in words": ({"port": "tws"}, {}, ConfigError, "port"),
    "a client id below zero": ({"client_id": -1}, {}, ConfigError, "client_id"),
    "a host that is a URL": ({"host": "http://127.0.0.1"}, {}, ConfigError, "host"),
    "a port where nobody listens": ({"port": 9}, {}, BrokerUnavailable, "no connection"),
    "the port of an HTTP server": ({"port": "{door:alpaca}"}, {}, BrokerUnavailable, "IBKR cannot answer"),
    "the keys of Alpaca": ({"key_id": "${APCA_API_KEY_ID}"}, {}, ConfigError, "'key_id' is not a known key"),
    "another broker's name": ({"broker": "alpaca"}, {}, ConfigError, "not a known key"),
    "another currency": ({"currency": "AUD"}, {}, ConfigError, "use an account in the market's currency"),
}
ROWS = [("alpaca", name) for name in AT_ALPACA] + [("ibkr", name) for name in AT_IBKR]


@pytest.mark.parametrize(("wire", "name"), ROWS, ids=[f"{wire}: {name}" for wire, name in ROWS])
def test_a_miswired_account_is_sent_nothing_and_the_error_says_what_is_wrong(board, tmp_path, wire, name):
    changes, environment, kind, words = (AT_ALPACA if wire == "alpaca" else AT_IBKR)[name]
    before = board.orders()
    with pytest.raises(kind, match=words) as caught:
        board.trade(tmp_path, wire, changes, {**ENVIRONMENT, **environment})
    assert caught.value.remedy
    assert not any(secret in str(caught.value) for secret in (SECRET, OTHER_SECRET))
    assert board.orders() == before
    if kind is WrongAccount:
        with board.opened[-1].ledger.read() as connection:
            (row,) = risk_events_of(connection, "broker")
        assert (row.limit in ("account_identity", "live_trading"), row.verdict) == (True, "stopped")


def test_the_table_has_more_than_fifty_rows():
    assert len(ROWS) >= 50


@pytest.mark.parametrize("wire", WIRES)
def test_the_same_account_wired_as_it_is_pinned_is_sent_its_order(board, tmp_path, wire):
    before = board.orders()
    board.trade(tmp_path, wire, {}, ENVIRONMENT)
    assert board.orders() == before + 1


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("session", [EVE, date(2025, 3, 4)])
def test_no_session_but_todays_trades_at_a_broker(board, tmp_path, wire, session):
    before = board.orders()
    result = board.trade(tmp_path, wire, {}, ENVIRONMENT, session)
    assert not any(row.state == "working" for row in result.orders)
    assert board.orders() == before


def test_a_client_id_that_is_taken_sends_nothing(board, tmp_path):
    account = IbkrAccount.model_validate(board.wires.keys["ibkr"])
    holder = IbkrConnection(ibkr_settings(account, "USD"))
    holder.connect()
    before = board.orders()
    try:
        with pytest.raises(BrokerUnavailable, match="client id 7 is in use"):
            board.trade(tmp_path, "ibkr", {}, ENVIRONMENT)
    finally:
        holder.close()
    assert board.orders() == before


@pytest.mark.parametrize("pinned", ["paper", "live"])
def test_an_account_at_alpaca_that_says_it_is_live_is_sent_nothing(board, tmp_path, monkeypatch, pinned):
    own = board.numbers["own"]
    monkeypatch.setattr(render_account, "account_number", lambda view: LIVE_NUMBER)
    changes = {"environment": pinned, "account_id": LIVE_NUMBER if pinned == "live" else own}
    before = board.orders()
    kind, words = (
        (WrongAccount, "says it is alpaca live")
        if pinned == "paper"
        else (RiskLimitBreached, "portfolio 'main' is not armed")
    )
    with pytest.raises(kind, match=words):
        board.trade(tmp_path, "alpaca", changes, ENVIRONMENT)
    assert board.orders() == before


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({}, {"client_id": 8}, "are one account, DU1000001"),
        ({}, {"account_id": "DU1000002"}, "connect to the same TWS with client id 7"),
    ],
)
def test_two_names_for_one_account_and_one_client_id_for_two_accounts_are_refused(tmp_path, first, second, words):
    from tests.projects import small_project

    base = {"broker": "ibkr", "environment": "paper", "port": 7497, "client_id": 7, "account_id": "DU1000001"}
    accounts = {name: {**base, "initial_cash": 1.0, **more} for name, more in (("one", first), ("two", second))}
    project = small_project(tmp_path, accounts=accounts)
    with pytest.raises(ConfigError, match=words):
        _ = Desk(project.settings, lambda: None).config
