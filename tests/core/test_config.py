"""The configuration: what loads, what is refused, and what the refusal says."""

import re
from pathlib import Path

import pytest

from scizor_dagster.config import load_config
from scizor_dagster.errors import ConfigError

ENVIRONMENT = {"SCIZOR_HOME": "/nowhere"}
OVERRIDE = "      max_age_sessions: 5\n    risk:\n      min_cash_buffer_pct: 0.1"


@pytest.fixture
def shipped(project_root: Path) -> str:
    return (project_root / "config" / "config.yaml").read_text(encoding="utf-8")


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_configuration_loads(project_root: Path) -> None:
    config = load_config(project_root / "config" / "config.yaml", ENVIRONMENT)
    assert {name: (market.calendar, market.currency) for name, market in config.markets.items()} == {
        "us": ("XNYS", "USD"),
        "asx": ("XASX", "AUD"),
    }
    assert config.portfolios["main"].risk.fractional_shares.quantity_precision == 4
    assert config.legacy_notes == ()


def test_an_unknown_key_is_refused_with_file_line_and_key(tmp_path: Path, shipped: str) -> None:
    path = write(tmp_path, shipped.replace("min_cash_buffer_pct: 0.02", "min_cash_buffer_pct: 0.02\n  max_ordrs: 5"))
    line = path.read_text(encoding="utf-8").splitlines().index("  max_ordrs: 5") + 1
    with pytest.raises(ConfigError) as caught:
        load_config(path, ENVIRONMENT)
    assert f"{path}:{line}: risk.max_ordrs" in str(caught.value)
    assert "not a known key" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("value", [".nan", ".inf", "-0.1", "1.0", "yes", "'0.02'", "null", ""])
def test_a_cash_buffer_that_is_no_fraction_is_refused(tmp_path: Path, shipped: str, value: str) -> None:
    path = write(tmp_path, shipped.replace("min_cash_buffer_pct: 0.02", f"min_cash_buffer_pct: {value}"))
    with pytest.raises(ConfigError, match="min_cash_buffer_pct"):
        load_config(path, ENVIRONMENT)


@pytest.mark.parametrize(
    "limit", ["max_notional_per_order", "max_share_per_order", "max_total_notional", "min_cash_buffer_pct"]
)
def test_a_missing_limit_is_refused_and_never_unlimited(tmp_path: Path, shipped: str, limit: str) -> None:
    kept = [line for line in shipped.splitlines() if not line.strip().startswith(limit)]
    with pytest.raises(ConfigError, match=f"risk.{limit}: the key is missing"):
        load_config(write(tmp_path, "\n".join(kept)), ENVIRONMENT)


def test_a_limit_may_say_that_it_is_unlimited(tmp_path: Path, shipped: str) -> None:
    text = shipped.replace("max_notional_per_order: 25000.0", "max_notional_per_order: unlimited")
    config = load_config(write(tmp_path, text), ENVIRONMENT)
    assert config.portfolios["main"].risk.max_notional_per_order == "unlimited"


def test_every_violation_is_named_at_once(tmp_path: Path, shipped: str) -> None:
    text = shipped.replace("quantity_precision: 4", "quantity_precision: 40").replace("currency: USD", "currency: usd")
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text), ENVIRONMENT)
    assert "quantity_precision" in str(caught.value)
    assert "currency" in str(caught.value)


def test_a_portfolio_of_a_market_that_is_not_configured_is_refused(tmp_path: Path, shipped: str) -> None:
    with pytest.raises(ConfigError, match="market 'mars', which is not configured"):
        load_config(write(tmp_path, shipped.replace("market: us", "market: mars")), ENVIRONMENT)


def test_a_market_without_a_calendar_is_refused(tmp_path: Path, shipped: str) -> None:
    with pytest.raises(ConfigError, match=r"markets\.us\.calendar"):
        load_config(write(tmp_path, shipped.replace("    calendar: XNYS\n", "")), ENVIRONMENT)


def test_a_paper_account_with_portfolios_of_two_markets_is_refused(tmp_path: Path, shipped: str) -> None:
    market = shipped[shipped.index("  us:") : shipped.index("  asx:")]
    portfolio = shipped[shipped.index("  main:") : shipped.index("risk:")].replace("share: 1.0", "share: 0.5")
    assert "share: 0.5" in portfolio
    second = portfolio.replace("  main:", "  second:", 1).replace("market: us", "market: uk")
    text = shipped.replace(shipped[shipped.index("  main:") : shipped.index("risk:")], portfolio + second)
    text = text.replace(market, market + market.replace("  us:", "  uk:", 1))
    with pytest.raises(ConfigError, match=r"'second' trades market 'uk' from account 'paper', from which 'main'"):
        load_config(write(tmp_path, text), ENVIRONMENT)
    assert load_config(write(tmp_path, text.replace("market: uk", "market: us")), ENVIRONMENT).portfolios["second"]


def test_shares_of_one_account_above_one_are_refused(tmp_path: Path, shipped: str) -> None:
    start = shipped.index("  main:")
    block = shipped[start : shipped.index("risk:")]
    text = shipped.replace(block, block + block.replace("  main:", "  second:", 1))
    with pytest.raises(ConfigError, match="sum to 2; at most 1"):
        load_config(write(tmp_path, text), ENVIRONMENT)


def test_a_portfolio_in_another_currency_than_its_account_is_refused(tmp_path: Path, shipped: str) -> None:
    account = shipped.index("accounts:")
    text = shipped[:account] + shipped[account:].replace("currency: USD", "currency: EUR", 1)
    with pytest.raises(ConfigError, match="'main' trades in USD from account 'paper' in EUR") as caught:
        load_config(write(tmp_path, text), ENVIRONMENT)
    assert caught.value.exit_code == 2


def _with_second(shipped: str, first: str, second: str) -> str:
    start = shipped.index("  main:")
    block = shipped[start : shipped.index("risk:")]
    other = block.replace("  main:", "  second:", 1).replace("share: 1.0", second)
    return shipped.replace(block, block.replace("share: 1.0", first) + other)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("amount: 60000.0", "amount: 40000.01", "100,000.01"),
        ("share: 0.5", "amount: 50001.0", "100,001.00"),
    ],
)
def test_portfolios_that_begin_with_more_than_their_account_holds_are_refused(
    tmp_path: Path, shipped: str, first: str, second: str, together: str
) -> None:
    message = f"account 'paper' begin with {together} together; its initial_cash is 100,000.00"
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(write(tmp_path, _with_second(shipped, first, second)), ENVIRONMENT)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("first", "second"), [("amount: 60000.0", "amount: 40000.0"), ("share: 0.3", "amount: 70000.0")]
)
def test_portfolios_may_begin_with_all_that_their_account_holds(
    tmp_path: Path, shipped: str, first: str, second: str
) -> None:
    config = load_config(write(tmp_path, _with_second(shipped, first, second)), ENVIRONMENT)
    assert list(config.portfolios) == ["main", "second"]


def test_a_portfolio_may_replace_one_shared_key_and_keeps_the_others(tmp_path: Path, shipped: str) -> None:
    text = shipped.replace("      max_age_sessions: 5", OVERRIDE)
    risk = load_config(write(tmp_path, text), ENVIRONMENT).portfolios["main"].risk
    assert risk.min_cash_buffer_pct == 0.1
    assert risk.max_total_notional == 1_000_000.0


def test_planning_rules_are_shared_and_replaced_by_the_key_and_may_be_left_out(tmp_path: Path, shipped: str) -> None:
    assert load_config(write(tmp_path, shipped), ENVIRONMENT).portfolios["main"].planning.max_price_move == 0.5
    own = OVERRIDE.replace("risk:\n      min_cash_buffer_pct: 0.1", "planning:\n      band_relative: 0.1")
    text = shipped.replace("      max_age_sessions: 5", own)
    planning = load_config(write(tmp_path, f"{text}\nplanning:\n  max_turnover: 0.5\n"), ENVIRONMENT).portfolios["main"]
    assert (planning.planning.band_relative, planning.planning.max_turnover) == (0.1, 0.5)


LAUGHS = "a0: &a0 [lol]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("risk: {a: 1, a: 2}", "stands twice"),
        ("a: &x 1\nb: *x", "Aliases are not allowed"),
        (LAUGHS, "Aliases are not allowed"),
        ("a: " + "[" * 100_000, "nested deeper than 30"),
        ("".join(" " * level + "a:\n" for level in range(60)), "nested deeper than 30"),
        ("a: x" + " " * 1_100_000, "more than 1048576 bytes"),
        ("a: " + "9" * 5000, "has 5000 digits"),
        ("a: !!python/object:os.system x", "tag"),
        ("a: [1, 2", "not valid YAML"),
        ("- a", "must be a mapping"),
        ("a: ${NOT_SET_ANYWHERE}", "NOT_SET_ANYWHERE is unset or empty"),
    ],
)
def test_yaml_that_could_mean_something_else_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_config(write(tmp_path, text), ENVIRONMENT)


def test_a_missing_file_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read .* Create it, or name another one\."):
        load_config(tmp_path / "none.yaml", ENVIRONMENT)


LEGACY = """
alp_execution: {max_orders: 500, poll_fills: 1}
alpaca: {api_key: k, api_secret: s, data_endpoint: d, env: paper, trading_endpoint: t}
execution:
  enable_idempotency: false
  mode_on_buy: bracket
  mode_on_sell: market
  out_orders: ./data/outputs/planned_orders.csv
  out_plan: ./data/outputs/rebalance_plan.csv
  sl_pct: 0.03
  time_in_force: DAY
  tp_pct: 0.05
idempotency: {client_order_id_prefix: SBX, enable_client_order_id: true}
logging: {level: info}
mapping: {file: ./map.csv, id_col: gvkey, id_column: gvkey, sym_col: symbol, symbol_column: tic, validate_unique: true}
pricing: {batch_size: 200, fallback: last_bar, fill_price: null}
risk:
  fractional_shares:
    adjust_for_overflow: true
    enabled: true
    max_total_weight: 1.0
    min_order_notional: 2.0
    quantity_precision: 2
  max_notional_per_order: 200000
  max_share_per_order: 100000
  max_total_notional: 1000000
  min_cash_buffer_pct: 0.02
  price_source: alpaca_snapshot
  price_tolerance_pct: 0.05
  reject_if_price_missing: true
scheduler: {m1: {blend: null, mode: select, pick: drl}, time: "09:00"}
weights: {allow_cash: false, allow_short: false, blacklist: [], max_weight: 0.2}
"""


def test_the_older_systems_configuration_loads_and_each_idle_key_names_its_successor(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, LEGACY), ENVIRONMENT)
    main = config.portfolios["main"]
    assert main.signals.strategy == "drl"
    assert main.idempotency.client_order_id_prefix == "SBX"
    assert main.risk.fractional_shares.min_order_notional == 2.0
    assert main.weights.max_weight == 0.2
    notes = " ".join(config.legacy_notes)
    for key in ("alp_execution", "alpaca", "pricing", "scheduler", "risk.price_source", "execution.out_orders"):
        assert key in notes
    assert "api_secret" not in notes


def test_an_older_key_that_would_switch_a_safeguard_off_is_refused(tmp_path: Path) -> None:
    text = LEGACY.replace("reject_if_price_missing: true", "reject_if_price_missing: false")
    with pytest.raises(ConfigError, match="no price means no order"):
        load_config(write(tmp_path, text), ENVIRONMENT)


@pytest.mark.parametrize(
    ("found", "written", "said"),
    [
        ("calendar: XNYS", "calendar: XXXX", "markets.us.calendar: 'XXXX' is not a calendar"),
        ("account: paper", "account: gold", "portfolios.main.account: portfolio 'main' names account 'gold'"),
        ("market: us", "market: mars", "portfolios.main.market: portfolio 'main' names market 'mars'"),
        ("max_weight: 0.25", "max_weight: 1.01", "weights.max_weight: "),
        ("type: sample", "type: zoo", "markets.us.provider: the type is none of sample, files"),
        ("first_session: 2021-01-04", "first_session: 20210104", "markets.us.first_session: it must be a date"),
        ("first_session: 2021-01-04", "first_session: '20210104'", "markets.us.first_session: it must be a date"),
        ("max_total_notional: 1000000.0", "max_total_notional: .nan", "a limit is a finite number greater than 0"),
        ("max_total_notional: 1000000.0", "max_total_notional: 0", "a limit is a finite number greater than 0"),
    ],
)
def test_a_wrong_value_is_named_by_its_own_line_in_plain_words(
    tmp_path: Path, shipped: str, found: str, written: str, said: str
) -> None:
    assert found in shipped
    path = write(tmp_path, shipped.replace(found, written, 1))
    line = next(number for number, row in enumerate(path.read_text().splitlines(), 1) if written in row)
    with pytest.raises(ConfigError) as caught:
        load_config(path, ENVIRONMENT)
    message = str(caught.value)
    assert said in message
    shown = (line - 1, line) if "zoo" in written else (line,)
    assert any(f"{path}:{number}: " in message for number in shown)
    for inner in ("constrained", "literal[", "pydantic", "Value error", "tagged-union", "more:"):
        assert inner not in message
    assert caught.value.exit_code == 2


def test_only_a_missing_limit_is_called_a_limit(tmp_path: Path, shipped: str) -> None:
    path = write(tmp_path, shipped.replace("    calendar: XNYS\n", ""))
    with pytest.raises(ConfigError) as caught:
        load_config(path, ENVIRONMENT)
    assert "markets.us.calendar: the key is missing." in str(caught.value)
    assert "left open" not in str(caught.value)


@pytest.mark.parametrize("limit", ["1.0", "0.01", "unlimited"])
def test_a_single_weight_may_be_limited_to_all_of_the_capital_or_less(tmp_path: Path, shipped: str, limit: str) -> None:
    config = load_config(write(tmp_path, shipped.replace("max_weight: 0.25", f"max_weight: {limit}")), ENVIRONMENT)
    assert str(config.portfolios["main"].weights.max_weight) == limit


@pytest.mark.parametrize(
    ("signals", "says"),
    [
        ("{mode: blend, strategies: [{id: a, capital: 2}]}", r"strategies\[0\]\.capital.*less than or equal to 1"),
        ("{mode: blend, strategies: [{id: a, capital: 0.7}, {id: b, capital: 0.7}]}", r"sums to 1\.4; at most 1"),
        ("{mode: ensemble, combine: median, strategies: [a, B]}", r"strategies\[1\]\.id"),
        ("{mode: select, strategy: a, overlays: [{cap_per_nam: 0.1}]}", "'cap_per_nam' is not a known key"),
    ],
)
def test_signals_that_cannot_be_followed_are_refused_by_line_and_key(
    tmp_path: Path, shipped: str, signals: str, says: str
) -> None:
    text = re.sub(r"    signals:\n(      .*\n)+", f"    signals: {signals}\n", shipped)
    assert signals in text
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(write(tmp_path, text), ENVIRONMENT)
    line = next(number for number, row in enumerate(text.splitlines(), start=1) if signals in row)
    assert f"config.yaml:{line}: portfolios.main.signals" in str(caught.value)


@pytest.mark.parametrize(
    ("currency", "words"),
    [("XXX", "'XXX' is not a currency of ISO 4217"), ("AUD", "the currency is AUD, and XNYS trades in USD")],
)
def test_a_market_has_a_currency_and_its_exchanges_one(tmp_path: Path, shipped: str, currency: str, words: str) -> None:
    text = shipped.replace("currency: USD", f"currency: {currency}", 1)
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text), ENVIRONMENT)
    assert words in str(caught.value)
    assert "markets.us" in str(caught.value)


def test_an_override_that_can_be_no_ticker_is_refused(tmp_path: Path, shipped: str) -> None:
    with pytest.raises(ConfigError, match="'gme' is not a ticker"):
        load_config(write(tmp_path, shipped + "planning:\n  overrides: {gme: no_buy}\n"), ENVIRONMENT)
