"""Death while an execution that was taken back is recorded: the next look ends with the same ledger."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.rows import fills_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.verification import verify
from scizor_dagster.risk.locks import locks_of
from tests.execution.kill_switch import Killed, KillSwitch, MortalBroker, MortalLedger
from tests.execution.scenario import D, fresh_copy, full_plan, model, resume, run


def test_death_at_any_point_while_a_bust_is_taken_in_leaves_the_same_ledger(
    holding_ledger: Path, tmp_path: Path, record_property: Any
) -> None:
    plan, held = full_plan()
    template = tmp_path / "template.sqlite"
    ledger = Ledger.open(fresh_copy(holding_ledger, template), synchronous="OFF")
    broker = model(ledger, positions={symbol: D(qty) for symbol, qty in held.items()}, steps=5)
    run(ledger, broker, plan)
    ledger.close()
    victim = next(fill.fill_id for fill in broker.book.fills if fill.symbol == "CCC")
    broker.restate(victim, qty=D(0))
    sent = broker.sent()

    def look(url: str, switch: KillSwitch) -> None:
        mortal = MortalLedger.open(url, synchronous="OFF")
        mortal.switch = switch
        with suppress(Killed):
            resume(mortal, MortalBroker(broker, switch))
        mortal.close()

    counting = KillSwitch()
    look(fresh_copy(template, tmp_path / "0.sqlite"), counting)
    for at in range(1, counting.count + 1):
        url = fresh_copy(template, tmp_path / f"{at}.sqlite")
        look(url, KillSwitch(at))
        look(url, KillSwitch())
        ledger = Ledger.open(url, synchronous="OFF")
        with ledger.read() as connection:
            (lock,) = locks_of(connection, "paper", "main")
            versions = [fill.version for fill in fills_of(connection, "paper") if fill.fill_id == victim]
            assert (lock.symbol, versions) == ("CCC", [2]), at
            assert owned(connection, "paper", "main") == {s: q for s, q in broker.book.positions.items() if q}, at
            assert verify(connection) == [], at
        ledger.close()
    assert broker.sent() == sent
    record_property("points killed at while a bust is taken in", counting.count)
