"""The world of the soak: a market in a file, weights that a person drops, and what goes wrong on which day.

What belongs here: making it, and breaking it. What does not: who reacts (`daemon`), and what is expected (`days`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from pathlib import Path

import yaml

from scizor_dagster.sessions import TradingCalendar
from tests.projects import SYMBOLS, Project, project_at, small_project, write_weights

XNYS = TradingCalendar("XNYS")
FIRST = date(2025, 2, 24)
"""The first simulated day; thirty sessions on from it the clocks of New York have changed once."""
HISTORY_FROM = date(2025, 1, 2)
CALLS_THAT_FAIL = 0.1


class Trouble(StrEnum):
    """What goes wrong on a day, beside calls to the broker, which fail on every day."""

    BAD_WEIGHTS = "bad weight file"
    NO_PRICES = "provider fails"
    HALT = "halt by a person"
    POWER = "SIGKILL of all in mid-run"
    RESTART = "daemon restarted"


@dataclass(frozen=True)
class World:
    """A project and the plan of its troubles."""

    project: Project
    seed: int
    days: tuple[date, ...]
    troubles: dict[date, Trouble]

    @property
    def folder(self) -> Path:
        return self.project.folder

    @classmethod
    def make(cls, folder: Path, seed: int, count: int) -> World:
        """Sessions and their troubles: each of them once in ten days or so, the killing and the restart once each."""
        days = tuple(XNYS.sessions(FIRST, date(2025, 12, 31))[: count + 1])
        provider = {"type": "files", "path": "prices.csv", "format": "csv", "adjustment": "raw", "synthetic": True}
        project = small_project(
            folder,
            markets={"us": {"first_session": HISTORY_FROM, "provider": provider}},
            accounts={"paper": {"exchange": {"faults": "faults.yaml"}}},
            weights={"max_weight": 0.9},
        )
        world = cls(project, seed, days[:count], _troubles(days[:count], seed))
        world._write_prices(days[-1])
        world.write_faults(datetime.combine(days[0], time(), UTC))
        world.write_weights(days[0])
        return world

    @classmethod
    def at(cls, folder: Path) -> World:
        """The one that was made in `folder`, for a process that only needs its places."""
        return cls(project_at(folder), 0, (), {})

    def _write_prices(self, last: date) -> None:
        chance = random.Random(f"prices {self.seed}")
        rows = ["symbol,session,open,high,low,close,volume"]
        for symbol in SYMBOLS:
            close = chance.uniform(40, 160)
            for day in XNYS.sessions(HISTORY_FROM, last):
                opened = close * (1 + chance.gauss(0, 0.004))
                close = opened * (1 + chance.gauss(0, 0.009))
                prices = (opened, max(opened, close) * 1.004, min(opened, close) * 0.996, close)
                rows.append(f"{symbol},{day},{','.join(f'{price:.2f}' for price in prices)},900000")
        (self.folder / "prices.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")

    def write_faults(self, now: datetime) -> None:
        """Another seed for each moment: a run begins its script anew, and the repeat of one would meet what it met."""
        rule = {"door": "in_process", "call": "submit", "probability": CALLS_THAT_FAIL}
        rules = [rule | {"kind": f"gateway_timeout_{when}"} for when in ("before", "after")]
        text = yaml.safe_dump({"seed": self.seed + int(now.timestamp()), "rules": rules})
        (self.folder / "faults.yaml").write_text(text, encoding="utf-8")

    def write_weights(self, day: date) -> None:
        """What a person hands in before `day`: weights for it and for the next one."""
        ahead = [day, XNYS.next_session(day)]
        weights = {}
        for session in ahead:
            chance = random.Random(f"weights {self.seed} {session}")
            parts = {symbol: chance.randint(4, 16) for symbol in SYMBOLS}
            weights[session] = {name: round(0.9 * part / sum(parts.values()), 4) for name, part in parts.items()}
        write_weights(self.folder / "weights.csv", weights)

    def write_bad_weights(self, day: date) -> None:
        """A file that is refused: one weight is no number."""
        write_weights(self.folder / "weights.csv", {day: {SYMBOLS[0]: 0.5}})
        with (self.folder / "weights.csv").open("a", encoding="utf-8") as stream:
            stream.write(f"{day},{SYMBOLS[1]},a third\n")

    def take_prices_away(self) -> None:
        (self.folder / "prices.csv").rename(self.folder / "prices.away")

    def bring_prices_back(self) -> None:
        (self.folder / "prices.away").rename(self.folder / "prices.csv")


def _troubles(days: tuple[date, ...], seed: int) -> dict[date, Trouble]:
    """Never on the first day, and never two on one: what became of each is to be seen."""
    chance = random.Random(f"troubles {seed}")
    often = max(1, len(days) // 10)
    wanted = [Trouble.POWER, Trouble.RESTART] if len(days) > 2 else [Trouble.POWER]
    if len(days) > 5:
        wanted += often * [Trouble.BAD_WEIGHTS, Trouble.NO_PRICES, Trouble.HALT]
    chosen = chance.sample(days[1:] or days, len(wanted))
    return dict(zip(chosen, wanted, strict=True))
