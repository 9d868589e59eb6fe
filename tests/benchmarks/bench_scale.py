"""What grows with the size of a system, and how: time and memory of its work, its UI and its processes.

    python -m tests.benchmarks.bench_scale [--sizes 1,3,10] [--folder FOLDER]

One unit is 300 symbols x 2 years, 2 portfolios of a tenth of the symbols each and about 500 sessions, so that ten are
3,000 symbols x 20 years, 20 portfolios and 5,000 partitions. The lake and the history of Dagster's runs are filled in
bulk; what is measured is done by the jobs themselves, each piece in a process of its own. The ledger is young: how it
ages is `bench_history`'s to say.

`growth` is the cost of one unit of what the work is about (named beside it) against the same at the smallest size: 1
is linear, below 1 is better. Where much is the same at every size, that hides what grows: `further` is what one more
unit costs between this size and the one before, against one more unit between the two sizes before them. What is above
`FASTER` is marked. Work is compared by time of the processor and not by the clock, because that is what a machine that
others use as well leaves alone; questions to the UI by their median.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scizor_dagster.settings import PROJECT_ROOT
from tests.benchmarks import scale_ui
from tests.benchmarks.ratios import seconds
from tests.benchmarks.scale_project import Size, fill_dagster, make
from tests.benchmarks.scale_work import WORKS

DEFAULT_SIZES = "1,3"
FASTER = 1.25
"""A cost for each unit that grows beyond this is more than noise."""
UNITS: Mapping[str, tuple[str, Callable[[Size], int]]] = {
    "definitions": ("portfolio", lambda size: len(size.portfolios)),
    "backfill": ("symbol", lambda size: len(size.symbols)),
    "collect": ("symbol", lambda size: len(size.symbols)),
    "rebalance_first": ("order", lambda size: size.names * len(size.portfolios)),
    "rebalance_one": ("order", lambda size: size.names),
    "rebalance_all": ("order", lambda size: size.names * len(size.portfolios)),
    "asset graph": ("portfolio", lambda size: len(size.portfolios)),
    "asset graph, states": ("asset x partition", lambda size: len(size.portfolios) * len(size.sessions)),
    "asset page, partitions": ("partition", lambda size: len(size.sessions)),
    "scizor watchdog": ("portfolio", lambda size: len(size.portfolios)),
    "automation": ("portfolio", lambda size: len(size.portfolios)),
}
ONE = ("1", lambda _: 1)
"""What should not grow at all: a page of runs, a page of events, the start of a command."""


@dataclass
class Measured:
    """Of one size: seconds (of the processor, or of the clock where that is all there is), and what else to print."""

    size: Size
    cost: dict[str, float] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    memory: dict[str, dict[str, float]] = field(default_factory=dict)

    def unit_cost(self, name: str) -> float:
        return self.cost[name] / UNITS.get(name, ONE)[1](self.size)


def measure(size: Size) -> Measured:
    """Make a system of that size, and measure everything on it."""
    found = Measured(size)
    start = time.perf_counter()
    make(size)
    for work in ("definitions", "backfill"):
        _work(found, work)
    runs = fill_dagster(size)
    for work in ("collect", "rebalance"):
        _work(found, work)
    _commands(found)
    with scale_ui.running(size) as system:
        idle = system.memory()
        for name, (first, middle, worst) in scale_ui.asked(system).items():
            found.cost[name] = middle
            found.shown[name] = f"p50 {middle * 1e3:.0f} ms, p95 {worst * 1e3:.0f} ms, first {first * 1e3:.0f} ms"
        after = system.memory()
    found.memory = {name: {**idle[name], "peak": after[name]["peak"]} for name in idle}
    print(
        f"{size.units}x: {len(size.symbols)} symbols, {len(size.sessions)} sessions, "
        f"{len(size.portfolios)} portfolios, "
        f"{runs} runs before; all of it {time.perf_counter() - start:.0f} s",
        flush=True,
    )
    return found


def _work(found: Measured, work: str) -> None:
    assert work in WORKS
    command = [sys.executable, "-m", "tests.benchmarks.scale_work", str(found.size.folder), str(found.size.units), work]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{work} at {found.size.units}x: {done.stderr}")
    answer = json.loads(done.stdout.splitlines()[-1])
    for name, (clock, busy) in answer["seconds"].items():
        found.cost[name] = busy
        found.shown[name] = f"{clock:.1f} s ({busy:.1f} s busy), peak {answer['peak_mb']:.0f} MB"


def _commands(found: Measured) -> None:
    """The start of a command, and the one that cron calls."""
    environment = {**os.environ, **found.size.project.environment}
    program = str(Path(sys.executable).parent / "scizor")
    for arguments in (["--help"], ["watchdog", "--json"]):
        name = f"scizor {arguments[0]}"
        run = lambda: subprocess.run([program, *arguments], env=environment, capture_output=True, check=False)  # noqa: E731, B023
        found.cost[name] = seconds(run, 3)
        found.shown[name] = f"{found.cost[name]:.2f} s"


def growth(measured: list[Measured], at: int, name: str) -> tuple[float, float | None]:
    """Cost of a unit against the smallest size, and of one more unit against the step before; see the module."""
    whole = measured[at].unit_cost(name) / measured[0].unit_cost(name)
    if at < 2:
        return whole, None
    before, last = (_further(measured[step - 1], measured[step], name) for step in (at - 1, at))
    return whole, last / before if before > 0 else None


def _further(smaller: Measured, larger: Measured, name: str) -> float:
    units = UNITS.get(name, ONE)[1]
    more = units(larger.size) - units(smaller.size)
    return (larger.cost[name] - smaller.cost[name]) / more if more else 0.0


def print_all(measured: list[Measured]) -> None:
    base = measured[0]
    print(f"\n{'what':<24}{'for each':<20}{'size':>6}  {'':<46}{'growth':>8}{'further':>9}")
    for name in base.cost:
        unit = UNITS.get(name, ONE)[0]
        for at, item in enumerate(measured):
            whole, further = growth(measured, at, name)
            mark = "  <<" if max(whole, further or 0.0) > FASTER else ""
            shown = f"{further:9.2f}" if further is not None else f"{'':<9}"
            print(
                f"{'' if at else name:<24}{'' if at else unit:<20}{item.size.units:>5}x  {item.shown[name]:<46}"
                f"{whole:8.2f}{shown}{mark}".rstrip()
            )
    print("\nmemory in MB, with children: resident and proportional when idle, the most after the questions above")
    for name in base.memory:
        cells = "".join(
            f"   {item.size.units}x: rss {kinds['rss']:.0f}, pss {kinds['pss']:.0f}, peak {kinds['peak']:.0f}"
            for item in measured
            for kinds in [item.memory[name]]
        )
        print(f"{name:<24}{cells}")
    for item in measured:
        print(f"all of them, idle, {item.size.units}x: {sum(kinds['pss'] for kinds in item.memory.values()):.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", default=DEFAULT_SIZES, help=f"units, by commas; default {DEFAULT_SIZES}")
    parser.add_argument("--folder", type=Path, help="where to make the systems, and leave them; default: nowhere")
    arguments = parser.parse_args()
    units = sorted(int(text) for text in arguments.sizes.split(","))
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        measured = []
        for number in units:
            place = folder / f"{number}x"
            shutil.rmtree(place, ignore_errors=True)
            measured.append(measure(Size(place, number)))
        print_all(measured)


if __name__ == "__main__":
    main()
