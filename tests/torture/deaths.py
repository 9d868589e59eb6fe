"""Trials of death: a process is killed at a line of the order core, those that recover as well, and the end is judged.

A campaign is one scenario over all kinds of brokers. It is drawn from a seed; each trial names itself so that it can
be run alone:

    python -m tests.torture.deaths plan 500 7                        a campaign: scenario, kills, seed
    python -m tests.torture.deaths plan accepting-twice 12 7 3 104   one trial: kind, number, seed, and the point

With `postgres` behind it, the ledgers lie on a server that is started for it.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from scizor_dagster.execution.executor import ExecutionResult, ExecutionState
from scizor_dagster.ledger.store import Ledger
from tests.execution.scenario import MONDAY
from tests.postgres import running
from tests.torture.beginning import Beginning
from tests.torture.lines import Point, Strike
from tests.torture.parties import KINDS, LATEST, Databases, Files, Kind, Store, Truth, Venue
from tests.torture.scenarios import SCENARIOS, Scenario, compared
from tests.torture.truth import check_at_any_moment, check_at_the_end, facts
from tests.torture.wire import Ended, RemoteBroker

POSTGRES = "postgres"
DEEPEST = 4
"""Processes of one trial that are killed in turn, at most."""
PATIENCE = 8
"""Runs after the last death within which all must have ended."""


class Stage(Beginning):
    """One scenario with one kind of broker; `calm` is what an undisturbed process comes to."""

    def __init__(self, scenario: Scenario, kind: Kind, store: Store) -> None:
        super().__init__(scenario.name, kind, store, scenario.prepare, [scenario.command])
        self.command = scenario.command
        self.plans = scenario.plans
        self.calm = facts(self.settled(self.begin(None)))

    def struck(self, venue: Venue, at: Point) -> Ended:
        """A process that is killed at a point, or ends before."""

        def body(ledger: Ledger, broker: RemoteBroker) -> None:
            check_at_any_moment(ledger, broker.truth(), self.kind)
            # As where the lines were listed.
            ledger.close()
            broker.on_answer = Strike(at, signal.SIGKILL, self.shared.tell).mark
            self.command(ledger, broker, self.shared.clock)

        return self.run(venue, body)

    def settled(self, venue: Venue) -> Truth:
        """Run until all has ended, as a person or a schedule does, and judge; the broker's whole truth."""
        truth: Truth = self.run(venue, self._settle).value
        return truth

    def _settle(self, ledger: Ledger, broker: RemoteBroker) -> Truth:
        check_at_any_moment(ledger, broker.truth(), self.kind)
        for run in range(PATIENCE):
            result = self._look(ledger, broker)
            if result.state is ExecutionState.DONE:
                break
            broker.wait(LATEST + 1)
            if run == 1:
                broker.close_session(MONDAY)
        if self.kind.late:
            broker.wait(LATEST + 1)
            self._look(ledger, broker)
        truth: Truth = broker.truth()
        check_at_the_end(ledger, truth, self.kind)
        report = compared(ledger, broker, self.plans)
        assert report.break_count == 0, report.summary
        return truth

    def _look(self, ledger: Ledger, broker: RemoteBroker) -> ExecutionResult:
        result = self.command(ledger, broker, self.shared.clock)
        check_at_any_moment(ledger, broker.truth(), self.kind)
        return result


def trial_of(stage: Stage, number: int, seed: int, first: Point) -> list[str]:
    """One trial: deaths in turn, the first at a given point, then the judgement; the places where a process died."""
    draw = Random(f"{seed} {stage.name} {number}")
    venue = stage.begin(draw)
    places = []
    depth = draw.choices(range(1, DEEPEST + 1), [10, 3, 2, 1])[0]
    for at in [first, *(draw.choice(stage.lines)[1] for _ in range(depth - 1))]:
        if stage.struck(venue, at).killed:
            places.append(stage.shared.place)
            stage.shared.advance(draw.choice([0, 0.2, 5, 61]))
    truth = stage.settled(venue)
    if stage.kind.exact:
        assert facts(truth) == stage.calm, f"{facts(truth)} is not {stage.calm}"
    return places


def points_of(lines: Sequence[tuple[str, Point]], draw: Random, died: Collection[str]) -> Iterator[Point]:
    """For ever: every distinct place once, at one of its times, then any executed line.

    Where threads take turns, the line at a point is not always the one that was listed: places that are not among
    those `died` at, which grows meanwhile, come first, and again with every other point.
    """
    times: dict[str, list[Point]] = {}
    for place, point in lines:
        times.setdefault(place, []).append(point)
    each = list(times)
    draw.shuffle(each)
    for place in sorted(each, key=frozenset(died).__contains__):
        yield draw.choice(times[place])
    while True:
        left = [place for place in times if place not in died]
        yield draw.choice(times[draw.choice(left)]) if left else draw.choice(lines)[1]
        yield draw.choice(lines)[1]


def campaign(scenario: str, kills: int, seed: int, store: Store, kinds: Sequence[str] = tuple(KINDS)) -> dict[str, Any]:
    """Trials over `kinds` of brokers, until so many processes have been killed; what they came to.

    Raises:
        AssertionError: naming the trial that did not hold, and how to run it alone.
    """
    found: Counter[str] = Counter()
    places: set[str] = set()
    lines: set[str] = set()
    for kind in kinds:
        stage = Stage(SCENARIOS[scenario], KINDS[kind], store)
        lines.update(place for place, _ in stage.lines)
        found[f"lines executed, {kind}"] = len(stage.lines)
        points = points_of(stage.lines, Random(f"{seed} {stage.name}"), places)
        killed = number = 0
        while killed < kills / len(kinds):
            first = next(points)
            try:
                died = trial_of(stage, number, seed, first)
            except AssertionError as failure:
                again = f"python -m tests.torture.deaths {scenario} {kind} {number} {seed} {first.mark} {first.line}"
                again += f" {POSTGRES}" if isinstance(store, Databases) else ""
                raise AssertionError(f"{failure}\nlast death at {stage.shared.place}; alone: {again}") from failure
            killed, number = killed + len(died), number + 1
            places.update(died)
        found["kills"] += killed
        found["trials"] += number
    return {**found, "places executed": len(lines), "places of death": len(places)}


def main(arguments: Sequence[str]) -> None:
    words = [word for word in arguments if word != POSTGRES]
    scenario, first, *rest = words
    with _store(POSTGRES in arguments) as store:
        if first in KINDS:
            number, seed, mark, line = map(int, rest)
            died = trial_of(Stage(SCENARIOS[scenario], KINDS[first], store), number, seed, Point(mark, line))
            said: Any = f"held; died at {', '.join(died)}"
        else:
            said = campaign(scenario, int(first), int(rest[0]), store)
        sys.stdout.write(json.dumps(said) + "\n")


@contextmanager
def _store(on_server: bool) -> Iterator[Store]:
    if on_server:
        with running() as server:
            yield Databases(server)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Files(Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
