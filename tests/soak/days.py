"""The soak: day after day with the daemon, what goes wrong on them, and what the watchdog says from outside.

    python -m tests.soak.days [--days 30] [--seed 7] [--folder FOLDER]

What belongs here: the passing of the days, the person who is there when something needs one, and what was seen. What
does not: the processes (`daemon`, `worker`) and the world (`world`). What is real and what is not says `daemon`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from scizor_dagster.cli.dagster_state import read_dagster
from scizor_dagster.cli.instance import prepare_home
from scizor_dagster.cli.watchdog import look_at
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import collect_closed_session, fill_history, refresh_actions, refresh_prices
from scizor_dagster.flow.symbols import refresh_symbols
from scizor_dagster.flow.watch import Watch, WatchingDesk
from scizor_dagster.ledger.rows import batches_of, intents_of
from scizor_dagster.risk.trading_state import TradingState, set_state
from scizor_dagster.settings import PROJECT_ROOT
from tests.benchmarks.memory import rss_mb, tree
from tests.soak.worker import PEAKS
from tests.soak.world import FIRST, HISTORY_FROM, XNYS, Trouble, World

PORTFOLIO, ACCOUNT, MARKET = "main", "paper", "us"
REBALANCE, AFTER_CLOSE = "09:01", "17:31"
STEPS = (
    "08:16", REBALANCE, "09:07", "09:15", "09:40", "10:30", AFTER_CLOSE, "18:01", "18:08", "18:16", "18:40", "19:30",
)  # fmt: skip
"""New York. The schedules tick at 08:15, 09:00, 17:30 and 18:00; the others are for sensors."""
NOON, EVENING, LATE = "12:00", "20:40", "22:00"
EXPECTED = {Trouble.NO_PRICES: "prices_missing"}
"""What a machine cannot mend: the watchdog must say it, until a person has done something."""


@dataclass
class Day:
    """What became of a session; `found` is what the watchdog has said in it."""

    session: date
    trouble: Trouble | None
    state: str = "none"
    closed: bool = False
    batches: int = 0
    orders: int = 0
    filled: int = 0
    breaks: int = 0
    faults: int = 0
    found: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Soak:
    """Days as they pass in a world.

    Attributes:
        memory: RSS of the daemon and of what it forks its workers from, in MB, at the end of each day.
        silent: What the watchdog says on the day after, on which there is no daemon.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.memory: list[float] = []
        self.restarts = 0
        self.silent: list[str] = []
        self._daemon: subprocess.Popen[str] | None = None
        os.environ.update(world.project.environment)
        prepare_home(world.project.settings)

    def pass_through(self) -> Iterator[Day]:
        """Each day once it is over, closed by the morning after; then the day on which nothing runs."""
        self._history()
        day: Day | None = None
        try:
            for session in self.world.days:
                before, day = day, self._day(session)
                self.memory.append(self._memory())
                if before is not None:
                    yield self._looked_back(before)
            after = XNYS.next_session(self.world.days[-1])
            self._step(at(after, STEPS[0]))
        finally:
            self.stop()
        assert day is not None
        yield self._looked_back(day)
        self.silent = self._watch(at(after, NOON))

    def _history(self) -> None:
        """What is there on the first morning: prices up to the evening before."""
        before = XNYS.previous_session(FIRST)
        desk = self._desk(at(before, EVENING))
        self._collected(desk)
        fill_history(desk, MARKET, (HISTORY_FROM.year, FIRST.year), before)
        refresh_prices(desk, MARKET)
        desk.lake.close()

    def _day(self, session: date) -> Day:
        began = time.perf_counter()
        day = Day(session, self.world.troubles.get(session))
        self._weights(day)
        for clock in STEPS:
            now = at(session, clock)
            if clock == REBALANCE and day.trouble is Trouble.BAD_WEIGHTS:
                self._mended(day)
            if clock == AFTER_CLOSE:
                self._noon(day)
            self._step(now, power_fails=day.trouble is Trouble.POWER and clock == REBALANCE)
        if day.trouble is Trouble.NO_PRICES:
            self._prices_come_late(day)
        self._step(at(session, LATE))
        day.found += self._watch(at(session, LATE))
        day.seconds = time.perf_counter() - began
        return day

    def _weights(self, day: Day) -> None:
        """A file before each session; a bad one stays until `_mended`."""
        if day.trouble is Trouble.BAD_WEIGHTS:
            self.world.write_bad_weights(day.session)
        elif day.session != self.world.days[0]:
            self.world.write_weights(day.session)
        if day.trouble is Trouble.HALT:
            self._set(TradingState.HALTED, at(day.session, "08:30"))

    def _mended(self, day: Day) -> None:
        """The bad file was refused by a run; who handed it in hands in a good one before the rebalance."""
        for clock in ("08:20", "08:25"):
            self._step(at(day.session, clock))
        self.world.write_weights(day.session)

    def _noon(self, day: Day) -> None:
        """What the watchdog says at noon, and what begins after it."""
        self._step(at(day.session, NOON))
        day.found += self._watch(at(day.session, NOON))
        if day.trouble is Trouble.HALT:
            self._set(TradingState.ACTIVE, at(day.session, "12:30"))
            for clock in ("12:31", "12:40", "13:10"):
                self._step(at(day.session, clock))
        if day.trouble is Trouble.NO_PRICES:
            self.world.take_prices_away()
        if day.trouble is Trouble.RESTART:
            self.stop()

    def _prices_come_late(self, day: Day) -> None:
        """Nobody collects by himself before tomorrow: the watchdog says so, and a person does."""
        self._step(at(day.session, EVENING))
        day.expected += self._watch(at(day.session, EVENING))
        self.world.bring_prices_back()
        desk = self._desk(at(day.session, "20:50"))
        self._collected(desk)
        collect_closed_session(desk, MARKET, day.session)
        refresh_prices(desk, MARKET)
        desk.lake.close()
        for clock in ("20:52", "21:00", "21:10"):
            self._step(at(day.session, clock))

    def _step(self, now: datetime, *, power_fails: bool = False) -> None:
        self.world.write_faults(now)
        daemon = self._running()
        assert daemon.stdin is not None
        assert daemon.stdout is not None
        daemon.stdin.write(json.dumps({"now": now.isoformat(), "power_fails": power_fails}) + "\n")
        daemon.stdin.flush()
        said = daemon.stdout.readline()
        if power_fails:
            assert said == "", "the power did not fail: the day has sent no order"
            assert daemon.wait(timeout=60) == -signal.SIGKILL
            self._daemon = None
            self.restarts += 1
            return
        assert said == "done\n", (self.world.folder / "daemon.log").read_text(encoding="utf-8")[-4000:]

    def _running(self) -> subprocess.Popen[str]:
        if self._daemon is None:
            with (self.world.folder / "daemon.log").open("a", encoding="utf-8") as log:
                self._daemon = subprocess.Popen(
                    [sys.executable, "-m", "tests.soak.daemon", str(self.world.folder)],
                    cwd=PROJECT_ROOT,
                    env={**os.environ, **self.world.project.environment, "PYTHONPATH": str(PROJECT_ROOT)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                )
        return self._daemon

    def stop(self) -> None:
        """End the daemon, as a service manager does."""
        if self._daemon is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._daemon.pid, signal.SIGTERM)
        self._daemon.communicate(timeout=60)
        self._daemon = None
        self.restarts += 1

    def _memory(self) -> float:
        return sum(rss_mb(pid) for pid in tree(self._running().pid))

    def _watch(self, now: datetime) -> list[str]:
        """What `scizor watchdog` finds: it looks from outside, and starts nothing."""
        watch = Watch()
        desk = WatchingDesk(self.world.project.settings, lambda: now)
        look_at(desk, [PORTFOLIO], read_dagster(desk.settings), now, watch)
        desk.lake.close()
        return [f"{finding.kind}: {finding.problem}" for finding in watch.findings]

    def _set(self, state: TradingState, now: datetime) -> None:
        ledger = self._desk(now).ledger
        with ledger.transaction() as connection:
            set_state(connection, ACCOUNT, PORTFOLIO, state, reason="a person doubts", actor="ann", now=now)
        ledger.close()

    def _desk(self, now: datetime) -> Desk:
        return Desk(self.world.project.settings, lambda: now)

    def _collected(self, desk: Desk) -> None:
        refresh_symbols(desk, MARKET)
        refresh_actions(desk, MARKET)

    def _looked_back(self, day: Day) -> Day:
        """What the stores say of the day once all is over."""
        desk = self._desk(at(day.session, LATE))
        with desk.ledger.read() as connection:
            batches = batches_of(connection, ACCOUNT, PORTFOLIO, day.session)
            day.batches = len(batches)
            rows = [row for batch in batches for row in intents_of(connection, batch.batch_id)]
        day.orders, day.filled = len(rows), sum(str(row.state) == "filled" for row in rows)
        with desk.lake.read() as cursor:
            found = cursor.execute(
                "SELECT state, breaks, closed FROM reconciliations WHERE portfolio = ? AND session = ? "
                "ORDER BY fetched_at DESC LIMIT 1",
                [PORTFOLIO, day.session],
            ).fetchone()
        if found is not None:
            day.state, day.breaks, day.closed = found[0], found[1], bool(found[2])
        day.faults = _unanswered(desk, day.session)
        desk.lake.close()
        desk.ledger.close()
        return day


def _unanswered(desk: Desk, session: date) -> int:
    """Orders of the session of which it was once unknown whether the exchange had them."""
    with desk.ledger.read() as connection:
        query = "SELECT count(*) FROM events WHERE kind = 'intent_unknown' AND CAST(at AS TEXT) LIKE :day"
        return int(connection.execute(sa.text(query), {"day": f"{session}%"}).scalar_one())


def at(session: date, clock: str) -> datetime:
    """So late by New York's clock."""
    hour, minute = clock.split(":")
    found = datetime(session.year, session.month, session.day, int(hour), int(minute), tzinfo=XNYS.timezone)
    return found + timedelta(seconds=5)


def is_well(day: Day) -> bool:
    """Reconciled and closed, one batch, and nothing said by the watchdog but what only a person could mend."""
    said = [text.split(":")[0] for text in day.expected]
    wanted = [EXPECTED[day.trouble]] if day.trouble in EXPECTED else []
    whole = day.closed and day.breaks == 0 and day.batches == 1 and day.orders == day.filled > 0
    return whole and not day.found and set(wanted) <= set(said)


def print_day(day: Day) -> None:
    words = str(day.trouble or "")
    print(
        f"{day.session}  {day.state:<12} {'closed' if day.closed else 'open':<7} {day.batches:>2} batch "
        f"{day.orders:>3} orders {day.filled:>3} filled {day.breaks:>2} breaks {day.faults:>2} unanswered "
        f"{day.seconds:6.1f} s  {words}{'' if is_well(day) else '  << ' + '; '.join(day.found)}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulated trading days with the daemon, faults and restarts.")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--folder", type=Path, help="where to live through them, and leave what is left; default: nowhere"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name) / "soak"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        soak = Soak(World.make(folder, arguments.seed, arguments.days))
        days = []
        for day in soak.pass_through():
            print_day(day)
            days.append(day)
        peaks = [json.loads(line) for line in (soak.world.project.settings.dagster_home / PEAKS).open(encoding="utf-8")]
    third = len(soak.memory) // 2
    print(
        f"daemon with what it forks from, RSS in MB: start {soak.memory[0]:.0f}, middle {soak.memory[third]:.0f}, "
        f"end {soak.memory[-1]:.0f}; {len(peaks)} run workers, peak {peaks[0]:.0f}, {peaks[len(peaks) // 2]:.0f}, "
        f"{peaks[-1]:.0f}"
    )
    print(f"the day after, without a daemon, the watchdog says: {'; '.join(soak.silent) or 'nothing'}")
    wrong = [day.session for day in days if not is_well(day)]
    raise SystemExit(0 if not wrong and soak.silent else f"not well: {', '.join(map(str, wrong)) or 'the watchdog'}")


if __name__ == "__main__":
    main()
