"""What a portfolio has at stake: values of its positions as shares of its equity.

What belongs here: gross, net, long and short of lines as `attribution` keeps them. What does not: limits on them
(`risk`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from scizor_dagster.analytics.attribution import By, label
from scizor_dagster.analytics.profits import ACCOUNT
from scizor_dagster.signals.arithmetic import exact_arithmetic

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Exposure:
    """Values in the portfolio's currency; `short` is negative."""

    long: Decimal
    short: Decimal

    @property
    def gross(self) -> Decimal:
        return self.long - self.short

    @property
    def net(self) -> Decimal:
        return self.long + self.short

    def shares(self, equity: float) -> dict[str, float | None]:
        """Gross, net, long and short as shares of `equity`; None where that is not positive."""
        values = {"gross": self.gross, "net": self.net, "long": self.long, "short": self.short}
        return {name: float(value) / equity if equity > 0 else None for name, value in values.items()}


def exposure_of(lines: Iterable[Mapping[str, Any]]) -> Exposure:
    """Of lines of one session; the account's money is none."""
    with exact_arithmetic():
        values = [row["value"] for row in lines if row["symbol"] != ACCOUNT]
        return Exposure(
            sum((value for value in values if value > 0), ZERO), sum((value for value in values if value < 0), ZERO)
        )


def exposures(lines: Iterable[Mapping[str, Any]], by: By) -> dict[str, Exposure]:
    """Of lines of one session, by instrument, sector or strategy, the largest gross first.

    Strategies that hold opposite parts of an instrument have more at stake together than the portfolio has.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in lines:
        if row["symbol"] != ACCOUNT and row["value"] != 0:
            groups.setdefault(label(row, by), []).append(row)
    found = {name: exposure_of(rows) for name, rows in groups.items()}
    return dict(sorted(found.items(), key=lambda item: (-item[1].gross, item[0])))
