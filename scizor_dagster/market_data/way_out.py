"""The command that takes a series, or a market, anew: the way out that several refusals name.

What belongs here: its one spelling. What does not: what the command does (`collecting_again`).
"""

from __future__ import annotations

from scizor_dagster.market_data.provider import Adjustment


def again_command(market: str, adjustment: Adjustment, symbol: str = "") -> str:
    """As a person types it; without a symbol it is for the whole market."""
    named = f"{symbol} " if symbol else ""
    return f"scizor collect history {named}--market {market} --again-as {adjustment}"
