"""A configuration with two markets, and two portfolios on one of them."""

from pathlib import Path
from typing import Any

from tests.projects import FIRST_SESSION, Project, small_project, write_universe

ASX = {
    "calendar": "XASX",
    "currency": "AUD",
    "first_session": FIRST_SESSION,
    "universes": ["asx.csv"],
    "provider": {"type": "sample"},
}
SIGNALS = {"mode": "select", "strategy": "weekly"}


def two_of_each(folder: Path) -> Project:
    """Markets us and asx; portfolios main and bold on us with half an account each, down_under on asx."""
    portfolios: dict[str, Any] = {
        "main": {"capital": {"share": 0.5}},
        "bold": {
            "market": "us",
            "account": "paper",
            "capital": {"share": 0.5},
            "signals": {**SIGNALS, "as_of": "latest"},
        },
        "down_under": {"market": "asx", "account": "aud", "capital": {"amount": 5000.0}, "signals": SIGNALS},
    }
    write_universe(folder / "asx.csv", ("BHP", "CBA"), mic="XASX", currency="AUD")
    accounts = {"aud": {"broker": "paper", "currency": "AUD", "initial_cash": 5000.0}}
    return small_project(folder, markets={"asx": ASX}, accounts=accounts, portfolios=portfolios)
