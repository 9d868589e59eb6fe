"""The sections `risk.limits` and `risk.protections`: there as a whole or not at all, and no value is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from scizor_dagster.config import DEFAULT_LIMITS, Config, LimitRules, RiskRules, load_config
from scizor_dagster.errors import ConfigError
from tests.projects import CONFIG

LIMITS: dict[str, Any] = {**DEFAULT_LIMITS.model_dump(), "restricted": [], "max_gross_value": 500_000}
NUMBERS = [name for name in LIMITS if name not in ("on_loss", "restricted", "allowed")]


def _load(folder: Path, limits: Any = None, protections: Any = None, **portfolio: Any) -> Config:
    given = {"limits": limits, "protections": protections}
    risk = CONFIG["risk"] | {name: value for name, value in given.items() if value is not None}
    portfolios = {"main": CONFIG["portfolios"]["main"] | portfolio}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "risk": risk, "portfolios": portfolios}, sort_keys=False))
    return load_config(path, {})


def _with_text(folder: Path, name: str, text: str) -> str:
    """Load the limits with `text` as it stands for one key; the refusal, and the line that it must name."""
    _load(folder, LIMITS)
    path = folder / "config.yaml"
    lines = path.read_text().splitlines()
    (number,) = (at for at, line in enumerate(lines) if line.startswith(f"    {name}:"))
    lines[number] = f"    {name}: {text}"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError) as refused:
        load_config(path, {"EMPTY": ""})
    assert f"config.yaml:{number + 1}" in str(refused.value)
    return str(refused.value)


def test_without_the_section_the_documented_defaults_hold_and_with_it_its_own_values(tmp_path: Path) -> None:
    rules = _load(tmp_path).portfolios["main"].risk
    assert (rules.limits, rules.protections) == (DEFAULT_LIMITS, ())
    assert _load(tmp_path, LIMITS | {"max_leverage": 1}).portfolios["main"].risk.limits.max_leverage == 1.0


@pytest.mark.parametrize("name", LIMITS)
def test_inside_the_section_no_key_may_be_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"risk\.limits\.{name}: the key is missing, and a limit is never left open"):
        _load(tmp_path, {key: value for key, value in LIMITS.items() if key != name})


@pytest.mark.parametrize(
    "text", [".nan", "nan", "", "~", "0", "-1", "0.0", ".inf", "Unlimited", "UNLIMITED", "none", "true", "[1]"]
)
def test_a_limit_that_is_no_positive_number_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    for name in ("max_leverage", "max_session_orders"):
        assert f"risk.limits.{name}: a limit is a finite number greater than 0, or the word unlimited" in _with_text(
            tmp_path, name, text
        )


def test_a_limit_from_an_empty_variable_of_the_environment_is_refused(tmp_path: Path) -> None:
    assert "EMPTY is unset or empty" in _with_text(tmp_path, "max_leverage", "${EMPTY}")


@pytest.mark.parametrize("name", NUMBERS)
def test_every_limit_may_be_unlimited(tmp_path: Path, name: str) -> None:
    found = _load(tmp_path, LIMITS | {name: "unlimited"}).portfolios["main"].risk.limits
    assert getattr(found, name) == "unlimited"


def test_a_limit_that_is_misspelt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"risk\.limits\.max_levrage: 'max_levrage' is not a known key"):
        _load(tmp_path, LIMITS | {"max_levrage": 1})


def test_allowed_is_a_list_or_unlimited_and_on_loss_a_state(tmp_path: Path) -> None:
    assert _load(tmp_path, LIMITS | {"allowed": ["AAPL"]}).portfolios["main"].risk.limits.allowed == ("AAPL",)
    with pytest.raises(ConfigError, match=r"risk\.limits\.allowed: it must be a list of symbols"):
        _load(tmp_path, LIMITS | {"allowed": "AAPL"})
    with pytest.raises(ConfigError, match=r"risk\.limits\.on_loss: it must be 'reducing' or 'halted'"):
        _load(tmp_path, LIMITS | {"on_loss": "active"})


def test_a_portfolio_replaces_single_limits_of_the_shared_section(tmp_path: Path) -> None:
    found = _load(tmp_path, LIMITS, risk={"limits": {"max_leverage": 0.5}}).portfolios["main"].risk.limits
    assert (found.max_leverage, found.max_name_weight) == (0.5, 1.0)
    with pytest.raises(ConfigError, match="the key is missing"):
        _load(tmp_path, risk={"limits": {"max_leverage": 0.5}})


@pytest.mark.parametrize(
    ("protection", "problem"),
    [
        ({"kind": "cooldow", "sessions": 3}, r"risk\.protections\[0\]: the kind is none of cooldown"),
        ({"kind": "cooldown"}, r"risk\.protections\[0\]\.sessions: the key is missing"),
        ({"kind": "cooldown", "sessions": 0}, r"risk\.protections\[0\]\.sessions: it must be greater"),
        ({"kind": "stoploss_guard", "count": 2, "lookback_sessions": 5}, "lock_sessions: the key is missing"),
        (
            {"kind": "max_drawdown", "threshold": 1.0, "lookback_sessions": 5, "lock_sessions": 5},
            r"risk\.protections\[0\]\.threshold: it must be less than 1",
        ),
    ],
)
def test_a_protection_that_is_not_whole_is_refused_with_its_place(
    tmp_path: Path, protection: Any, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        _load(tmp_path, protections=[protection])


def test_the_shipped_configuration_names_every_limit(project_root: Path) -> None:
    shipped = yaml.safe_load((project_root / "config" / "config.yaml").read_text())["risk"]
    assert set(shipped["limits"]) == set(LimitRules.model_fields)
    assert "limits" in RiskRules.model_fields


def test_the_handbook_explains_every_limit_with_its_default(project_root: Path) -> None:
    text = (project_root / "docs" / "risk.md").read_text()
    for name, value in DEFAULT_LIMITS.model_dump().items():
        shown = {(): "none"}.get(value, f"{value:g}" if isinstance(value, float) else value)
        assert f"| `{name}` | {shown} |" in text, name
