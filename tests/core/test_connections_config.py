"""Accounts and prices at brokers: what is written wrongly is told with its line, its key, its value and a remedy."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from scizor_dagster.brokers.alpaca.settings import AlpacaSettings
from scizor_dagster.cli.paper import Keys
from scizor_dagster.config import load_config
from scizor_dagster.errors import ConfigError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.settings import Settings
from tests.projects import small_project

ALPACA = {"broker": "alpaca", "environment": "paper", "account_id": "PA3ABCDEF", "initial_cash": 1000.0}
IBKR = {"broker": "ibkr", "environment": "paper", "account_id": "DU1234567", "port": 7497, "client_id": 1}
ACCOUNTS: dict[str, dict[str, Any]] = {"alpaca": ALPACA, "ibkr": {**IBKR, "initial_cash": 1000.0}}
PROVIDERS: dict[str, dict[str, Any]] = {
    "alpaca": {"type": "alpaca"},
    "ibkr": {"type": "ibkr", "account_id": "DU1234567", "port": 7497, "client_id": 2},
}
ADDRESS = "it must be an address without path, key or password, such as http://127.0.0.1:8090"
ABSENT = object()
SECRET = "hidden-4711"

OF_ANY_ACCOUNT = [
    ("broker", "Alpaca", "the broker is none of paper, alpaca, ibkr"),
    ("broker", "ib", "the broker is none of paper, alpaca, ibkr"),
    ("environment", "Paper", "it must be 'paper' or 'live'"),
    ("environment", ABSENT, "the key is missing"),
    ("account_id", 123456789, "it must be a valid string"),
    ("account_id", ABSENT, "the key is missing"),
    ("account_id", "PA 3", "it must be the account's id"),
    ("account_id", "PA3ABC\n", "it must be the account's id"),
    ("initial_cash", "1000", "it must be a valid number"),
    ("initial_cash", 0.0, "it must be greater than 0"),
    ("currency", "usd", "is not a currency of ISO 4217. Write USD"),
    ("auction_orders", "on request", "it must be a valid boolean"),
    ("timeout", 0.0, "it must be greater than 0"),
    ("timeout", 1000.0, "it must be less than or equal to 300"),
    ("exchange", {"half_spread_bps": 1.0}, "'exchange' is not a known key"),
    ("enviroment", "paper", "'enviroment' is not a known key"),
]
OF_ALPACA = [
    ("key_id", "PKABC", "a secret never stands in the file: write ${NAME}"),
    ("key_id", "APCA_API_KEY_ID", "a secret never stands in the file: write ${NAME}"),
    ("secret_key", SECRET, "a secret never stands in the file: write ${NAME}"),
    ("secret", SECRET, "'secret' is not a known key"),
    ("url", "paper-api.alpaca.markets", ADDRESS),
    ("url", "https://paper-api.alpaca.markets/v2", ADDRESS),
    ("url", f"https://me:{SECRET}@paper-api.alpaca.markets", ADDRESS),
    ("url", "http://localhost:99999", ADDRESS),
    ("url", "http://localhost:port", ADDRESS),
    ("url", "http://[::1", ADDRESS),
    ("url", "http://:8090", ADDRESS),
    ("data_url", "ftp://data", ADDRESS),
    ("feed", "SIP", "it must be 'iex' or 'sip'"),
    ("requests_per_minute", 0, "it must be greater than or equal to 1"),
    ("requests_per_minute", "200", "it must be a valid integer"),
    ("port", 7497, "'port' is not a known key"),
]
OF_IBKR = [
    ("port", ABSENT, "the key is missing"),
    ("port", "tws", "it must be a valid integer"),
    ("port", 70000, "it must be less than or equal to 65535"),
    ("client_id", ABSENT, "the key is missing"),
    ("client_id", -1, "it must be greater than or equal to 0"),
    ("client_id", True, "it must be a valid integer"),
    ("host", "http://127.0.0.1", "it must be a name or an address of a machine"),
    ("host", "", "it must be a name or an address of a machine"),
    ("time_zone", "Mars/Base", "it must be a time zone of the IANA database"),
    ("time_zone", "", "it must be a time zone of the IANA database"),
    ("time_zone", "../../etc/passwd", "it must be a time zone of the IANA database"),
    ("execution_days", 8, "it must be less than or equal to 7"),
    ("secret_key", SECRET, "'secret_key' is not a known key"),
]
ROWS = [
    *[("alpaca", "account", *row) for row in (*OF_ANY_ACCOUNT, *OF_ALPACA)],
    *[("ibkr", "account", *row) for row in (*OF_ANY_ACCOUNT, *OF_IBKR)],
    *[("alpaca", "provider", *row) for row in OF_ALPACA],
    *[("ibkr", "provider", *row) for row in OF_IBKR],
    ("alpaca", "provider", "environment", "production", "it must be 'paper' or 'live'"),
    ("alpaca", "provider", "account_id", "PA3", "'account_id' is not a known key"),
    ("ibkr", "provider", "environment", "paper", "'environment' is not a known key"),
]
CLOCKS = [
    ("two", {}, "'two' is no account at a broker, whose clock could be read (there is: one, other)"),
    (
        "one",
        {"broker": "paper", "initial_cash": 1000.0},
        "'one' is no account at a broker, whose clock could be read (there is: other)",
    ),
    ("other", {}, "no portfolio trades from account 'other', whose clock is to be read"),
    ("one", {**ALPACA, "environment": "live", "account_id": "932473521"}, "account 'one' is live"),
]


def refused(folder: Path, **changes: Any) -> tuple[str, Path]:
    project = small_project(folder, **changes)
    with pytest.raises(ConfigError) as caught:
        load_config(project.settings.config_path, {})
    assert caught.value.exit_code == 2
    return str(caught.value), project.settings.config_path


def whole(source: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    changed = {**source, key: value}
    return {name: item for name, item in changed.items() if item is not ABSENT}


@pytest.mark.parametrize(("broker", "section", "key", "value", "words"), ROWS)
def test_what_is_written_wrongly_is_told_with_line_key_value_and_remedy(tmp_path, broker, section, key, value, words):
    account = ACCOUNTS[broker]
    portfolios = {"main": {"account": "one"}}
    if section == "account":
        told, path = refused(
            tmp_path, accounts={"paper": None, "one": whole(account, key, value)}, portfolios=portfolios
        )
        at = ("accounts", "one")
    else:
        provider = whole(PROVIDERS[broker], key, value)
        # Merging keeps keys of the sample provider; the seed of none stands in this project.
        told, path = refused(
            tmp_path,
            accounts={"paper": None, "one": account},
            portfolios=portfolios,
            markets={"us": {"provider": provider}},
        )
        at = ("markets", "us", "provider")
    assert f": {'.'.join(at)}.{key}: " in told
    assert words in told
    assert "docs/configuration.md lists them all" in told
    line = int(told.removeprefix(f"{path}:").partition(":")[0])
    written = path.read_text(encoding="utf-8").splitlines()[line - 1].strip()
    assert written.startswith((f"{key}:", f"{at[-1]}:"))
    assert SECRET not in told
    if isinstance(value, str | int | float) and "known key" not in words and key not in ("key_id", "secret_key"):
        assert f"(found {value!r})" in told or "@" in str(value)


@pytest.mark.parametrize(("name", "account", "words"), CLOCKS)
def test_a_clock_that_cannot_be_read_or_stands_beside_real_money_is_refused(tmp_path, name, account, words):
    accounts = {"paper": None, "one": account or ALPACA, "other": ACCOUNTS["ibkr"]}
    told, path = refused(tmp_path, clock=name, accounts=accounts, portfolios={"main": {"account": "one"}})
    assert words in told
    line = int(told.removeprefix(f"{path}:").partition(":")[0])
    assert path.read_text(encoding="utf-8").splitlines()[line - 1] == f"clock: {name}"


@pytest.mark.parametrize("host", ["tws", "my_host", "192.168.0.7", "::1", "gateway.local"])
def test_a_name_or_an_address_is_a_host(tmp_path, host):
    accounts = {"paper": None, "one": {**ACCOUNTS["ibkr"], "host": host, "time_zone": "Europe/Berlin"}}
    project = small_project(tmp_path, accounts=accounts, portfolios={"main": {"account": "one"}})
    assert load_config(project.settings.config_path, {}).accounts["one"].host == host


def test_what_holds_secrets_does_not_show_them(tmp_path):
    environment = {"APCA_API_KEY_ID": SECRET, "APCA_API_SECRET_KEY": SECRET}
    settings = Settings.from_environment(environment)
    shown = [settings, Desk(settings, lambda: None), AlpacaSettings(SECRET, SECRET), Keys("PKX", SECRET, made=True)]
    assert not any(SECRET in repr(item) for item in shown)


def test_the_example_of_the_documentation_loads(tmp_path, project_root):
    text = (project_root / "docs" / "configuration.md").read_text(encoding="utf-8")
    example = yaml.safe_load(text[text.index("```yaml\naccounts:") + 7 :].partition("```")[0])
    accounts = {"paper": None, **example["accounts"]}
    project = small_project(tmp_path, accounts=accounts, portfolios={"main": {"account": "alpaca_paper"}})
    environment = {"IBKR_HOST": "127.0.0.1", "IBKR_PORT": "7497", "IBKR_CLIENT_ID": "1"}
    assert set(load_config(project.settings.config_path, environment).accounts) == {"alpaca_paper", "ib_paper"}
