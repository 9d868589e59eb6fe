"""Death at every boundary: whatever dies, whenever, the broker ends with exactly the orders of the plan."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.store import Ledger
from tests.execution.kill_switch import Killed, KillSwitch, MortalBroker, MortalLedger
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import PRICES, D, fresh_copy, full_plan, model, resume, run

HALVES = {"AAA": [D("0.5"), D("0.5")], "CCC": [D(0), D("0.5"), D("0.5")]}
FEWEST_POINTS = 100
STRIDE = 1 if os.environ.get("SCIZOR_TORTURE") else 3
"""`make torture` dies at every point; the suite at every third, which meets each kind of point."""


def _broker(ledger: Ledger, held: dict[str, str], **changes: Any) -> ModelBroker:
    broker = model(ledger, positions={symbol: D(qty) for symbol, qty in held.items()}, steps=5, **changes)
    broker.fill_plan = dict(HALVES)
    return broker


def _mortal_run(url: str, broker: ModelBroker | None, switch: KillSwitch) -> tuple[ModelBroker, bool]:
    """One run of the plan that dies at the switch's point; whether it died."""
    plan, held = full_plan()
    ledger = MortalLedger.open(url, synchronous="OFF")
    ledger.switch = switch
    broker = broker or _broker(ledger, held)
    try:
        run(ledger, MortalBroker(broker, switch), plan)
    except Killed:
        return broker, True
    finally:
        ledger.close()
    return broker, False


def _facts(broker: ModelBroker) -> Any:
    return broker.sent(), broker.book.positions, broker.book.cash


def _check_whole(url: str, broker: ModelBroker) -> None:
    ledger = Ledger.open(url, synchronous="OFF")
    with ledger.read() as connection:
        assert verify_chain(connection) == []
        assert owned(connection, "paper", "main") == {s: q for s, q in broker.book.positions.items() if q}
    ledger.close()


def test_death_at_any_commit_or_broker_call_changes_nothing_that_is_sent(
    holding_ledger: Path, tmp_path: Path, record_property: Any
) -> None:
    counting = KillSwitch()
    undisturbed, _ = _mortal_run(fresh_copy(holding_ledger, tmp_path / "0" / "l.sqlite"), None, counting)
    expected = _facts(undisturbed)
    assert len(expected[0]) == len(full_plan()[0].orders)
    assert counting.count >= FEWEST_POINTS
    points = range(1, counting.count + 1, STRIDE)
    for at in points:
        url = fresh_copy(holding_ledger, tmp_path / "k" / "l.sqlite")
        switch = KillSwitch(at)
        broker, died = _mortal_run(url, None, switch)
        assert died, at
        _mortal_run(url, broker, KillSwitch())
        assert _facts(broker) == expected, (at, switch.where)
        _check_whole(url, broker)
        for leftover in (tmp_path / "k").iterdir():
            leftover.unlink()
    record_property("points killed at, duplicates and losses 0", len(points))


def test_a_second_death_during_the_recovery_changes_nothing_either(holding_ledger: Path, tmp_path: Path) -> None:
    url = fresh_copy(holding_ledger, tmp_path / "0" / "l.sqlite")
    counting = KillSwitch()
    undisturbed, _ = _mortal_run(url, None, counting)
    for at in range(5, counting.count, 9):
        url = fresh_copy(holding_ledger, tmp_path / str(at) / "l.sqlite")
        broker, _ = _mortal_run(url, None, KillSwitch(at))
        for again in (3, 8, 14):
            _mortal_run(url, broker, KillSwitch(again))
        _mortal_run(url, broker, KillSwitch())
        assert _facts(broker) == _facts(undisturbed), at


def test_on_a_broker_that_takes_an_id_twice_a_death_never_sends_an_order_twice(
    holding_ledger: Path, tmp_path: Path
) -> None:
    plan, held = full_plan()
    counting = KillSwitch()
    _mortal_run(fresh_copy(holding_ledger, tmp_path / "0" / "l.sqlite"), None, counting)
    for name, state in (("before submit", ExecutionState.FROZEN), ("after submit", ExecutionState.DONE)):
        for at in counting.numbers(name):
            url = fresh_copy(holding_ledger, tmp_path / str(at) / "l.sqlite")
            mortal = MortalLedger.open(url, synchronous="OFF")
            broker = _broker(mortal, held, unique=False)
            _mortal_run(url, broker, KillSwitch(at))
            mortal.close()
            survivor = Ledger.open(url, synchronous="OFF")
            result = run(survivor, broker, plan)
            ids = [sent for sent, *_ in broker.sent()]
            assert len(ids) == len(set(ids)), at
            # An order that cannot be proven to exist is shown as unknown; it is never sent by machine.
            unknown = {row.client_order_id for row in result.orders if row.state.value == "unknown"}
            assert result.state is state, at
            assert len(unknown) == (1 if state is ExecutionState.FROZEN else 0)
            assert not unknown & set(ids)
            survivor.close()


SIGKILLED = """
import sys
from pathlib import Path
from tests.execution.kill_switch import KillSwitch, MortalBroker, MortalLedger
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import PRICES, full_plan, run, D
ledger_path, book_path, at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
plan, held = full_plan()
ledger = MortalLedger.open(f"sqlite:///{ledger_path}")
ledger.switch = KillSwitch(at, really=True)
broker = ModelBroker(cash=D(1000), prices=PRICES, positions={k: D(v) for k, v in held.items()},
                     ledger_url=f"sqlite:///{ledger_path}", path=book_path)
print(run(ledger, MortalBroker(broker, ledger.switch), plan).state)
"""


def test_five_processes_killed_for_good_leave_what_an_undisturbed_one_does(
    holding_ledger: Path, tmp_path: Path, project_root: Path
) -> None:
    def child(folder: Path, at: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", SIGKILLED, str(folder / "l.sqlite"), str(folder / "book"), str(at)]
        return subprocess.run(command, cwd=project_root, capture_output=True, text=True, timeout=60, check=False)

    calm = tmp_path / "calm"
    fresh_copy(holding_ledger, calm / "l.sqlite")
    finished = child(calm, 0)
    assert finished.stdout.strip() == "done", finished.stderr
    plan, _ = full_plan()
    expected = ModelBroker(cash=D(0), prices={}, path=calm / "book")
    for at in (9, 21, 34, 55, 78):
        folder = tmp_path / str(at)
        fresh_copy(holding_ledger, folder / "l.sqlite")
        assert child(folder, at).returncode == -9
        url = f"sqlite:///{folder / 'l.sqlite'}"
        survivor = Ledger.open(url)
        broker = ModelBroker(cash=D(0), prices=PRICES, path=folder / "book", ledger_url=url)
        result = run(survivor, broker, plan)
        assert result.state is ExecutionState.DONE
        assert _facts(broker) == _facts(expected), at
        assert resume(survivor, broker).state is ExecutionState.DONE
        survivor.close()
