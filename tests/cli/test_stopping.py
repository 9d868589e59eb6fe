"""`halt` and `reduce` when it matters: the configuration is broken, orders rest at the broker, a session is lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from scizor_dagster.ledger.lease import lease
from scizor_dagster.ledger.rows import intents_in
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import trading_states
from scizor_dagster.risk.pre_trade import OPENING
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.cli.conftest import NEXT, Scizor
from tests.cli.test_following import UNPRICED
from tests.cli.test_risk import states
from tests.execution.scenario import START
from tests.projects import Project, write_weights

Patch = pytest.MonkeyPatch
WHY = ("--reason", "it runs away", "--by", "ann")
HALTED = [(None, "halted", "it runs away", "ann", False)]


def _config(content: bytes) -> Callable[[Project, Patch], None]:
    return lambda project, _: project.settings.config_path.write_bytes(content) and None


BROKEN: dict[str, tuple[Callable[[Project, Patch], object], str]] = {
    "no YAML": (_config(b"risk: [1,"), "not valid YAML"),
    "an unknown key": (_config(b"risks: {}"), "'risks' is not a known key"),
    "bytes": (_config(b"\xff\xfe\x00"), "not UTF-8"),
    "no file": (lambda project, _: project.settings.config_path.unlink(), "config.yaml"),
    "a place that is no place": (lambda _, patch: patch.setenv("SCIZOR_CONFIG", " "), "SCIZOR_CONFIG is set"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_halt_needs_no_configuration_and_says_what_the_ledger_knows(
    scizor: Scizor, collected: Project, monkeypatch: Patch, name: str
) -> None:
    spoil, problem = BROKEN[name]
    spoil(collected, monkeypatch)
    answer = scizor("halt", *WHY)
    assert (answer.code, "account paper: halted" in answer.out) == (0, True), answer
    assert "The configuration cannot be read" in answer.sentence
    assert problem in answer.sentence
    assert states(collected) == HALTED


@pytest.fixture
def broken(collected: Project) -> Project:
    collected.settings.config_path.write_text("risk: [1,")
    return collected


def test_names_mean_what_the_ledger_knows_while_the_configuration_is_broken(scizor: Scizor, broken: Project) -> None:
    assert scizor("halt", "--portfolio", "main", *WHY).code == 0
    assert scizor("reduce", "--account", "paper", "--json", *WHY).json["accounts"] == ["paper"]
    assert [row[:2] for row in states(broken)] == [("main", "halted"), (None, "reducing")]
    for wrong in (("--portfolio", "nope"), ("--account", "nope"), ("--account", "nope", "--portfolio", "main")):
        answer = scizor("halt", *wrong, *WHY)
        assert answer.code == 2
        assert "the ledger knows no" in answer.sentence
        assert "'nope'" in answer.sentence
        assert "account paper: main" in answer.sentence
    assert len(states(broken)) == 2
    assert scizor("resume", "--portfolio", "main", *WHY).code == 2, "to trade again needs a configuration"


def test_every_account_that_the_ledger_knows_is_halted_and_named(scizor: Scizor, broken: Project) -> None:
    ledger = Ledger.open(broken.settings.ledger_url)
    with ledger.transaction() as connection:
        person = {"reason": "once", "actor": "ann", "now": START}
        set_state(connection, "second", "bold", TradingState.REDUCING, **person)
    ledger.close()
    answer = scizor("halt", *WHY, "--json")
    assert (answer.code, answer.json["accounts"]) == (0, ["paper", "second"])
    ledger = Ledger.open(broken.settings.ledger_url)
    with ledger.read() as connection:
        rows = {(row.account, row.portfolio, row.state) for row in connection.execute(trading_states.select())}
    ledger.close()
    assert {("paper", None, "halted"), ("second", None, "halted")} < rows


def test_the_home_of_the_ledger_can_be_named_where_the_environment_does_not_name_it(
    scizor: Scizor, broken: Project, monkeypatch: Patch
) -> None:
    elsewhere = broken.folder / "elsewhere"
    monkeypatch.setenv("SCIZOR_HOME", str(elsewhere))
    lost = scizor("halt", *WHY)
    assert (lost.code, "There is no ledger in it" in lost.sentence, "--home PATH" in lost.sentence) == (2, True, True)
    assert not elsewhere.exists()
    monkeypatch.setenv("SCIZOR_HOME", "")
    assert scizor("halt", "--home", broken.home, *WHY).code == 0
    assert states(broken) == HALTED


def test_an_account_that_was_taken_out_of_the_configuration_can_still_be_halted(
    scizor: Scizor, collected: Project
) -> None:
    text = collected.settings.config_path.read_text()
    collected.settings.config_path.write_text(
        text.replace("paper:", "fresh:").replace("account: paper", "account: fresh")
    )
    answer = scizor("halt", "--account", "paper", "--cancel-open", *WHY)
    assert (answer.code, "No portfolio of the configuration trades on account 'paper'" in answer.sentence) == (1, True)
    assert [row[:2] for row in states(collected)] == [(None, "halted")]
    assert "There is no account 'nope'. Use one of: fresh." in scizor("halt", "--account", "nope", *WHY).sentence


def test_a_halt_stands_where_what_canceling_needs_is_missing(scizor: Scizor, collected: Project) -> None:
    (collected.folder / "universe.csv").unlink()
    answer = scizor("halt", "--portfolio", "main", "--cancel-open", *WHY)
    assert (answer.code, "universe.csv: The file does not exist" in answer.sentence) == (1, True)
    assert [row[:2] for row in states(collected)] == [("main", "halted")]


def test_orders_that_a_halt_could_not_cancel_are_named_and_the_exit_code_says_so(
    scizor: Scizor, collected: Project
) -> None:
    write_weights(collected.folder / "weights.csv", {UNPRICED: {"AAPL": 0.2}})
    resting = scizor("run", "--date", UNPRICED, "--once", "--json").json["working"]
    assert resting > 0
    config = collected.settings.config_path.read_text()
    collected.settings.config_path.write_text("risk: [1,")
    broken = scizor("halt", "--cancel-open", "--json", *WHY)
    assert (broken.code, broken.json["canceled"], len(broken.json["not_canceled"])) == (1, 0, resting)
    assert states(collected)[-1][1] == "halted", "the halt comes first"
    assert all("cannot be read" in row["why"] for row in broken.json["not_canceled"])
    collected.settings.config_path.write_text(config)
    ledger = Ledger.open(collected.settings.ledger_url)
    with lease(ledger, "paper", "somebody", lambda: datetime.now(UTC), timedelta(minutes=5)):
        busy = scizor("halt", "--portfolio", "main", "--cancel-open", *WHY)
    ledger.close()
    assert (busy.code, "Orders that may still be open" in busy.out) == (1, True)
    free = scizor("halt", "--portfolio", "main", "--cancel-open", "--json", *WHY)
    assert (free.code, free.json["canceled"], free.json["not_canceled"]) == (0, resting, [])
    assert scizor("halt", "--portfolio", "main", "--cancel-open", *WHY).code == 0, "nothing is left to cancel"
    collected.settings.config_path.write_text("risk: [1,")
    unasked = scizor("halt", "--cancel-open", *WHY)
    assert (unasked.code, "The broker was not asked to cancel" in unasked.sentence) == (1, True)


def test_a_halt_that_cancels_nothing_lists_what_is_at_the_broker_and_says_how_to_cancel_it(
    scizor: Scizor, collected: Project
) -> None:
    assert scizor("halt", "--portfolio", "main", *WHY, "--json").json["left_at_broker"] == []
    assert scizor("resume", "--portfolio", "main", *WHY).code == 0
    write_weights(collected.folder / "weights.csv", {UNPRICED: {"AAPL": 0.2}})
    run = scizor("run", "--date", UNPRICED, "--once", "--json").json
    ledger = Ledger.open(collected.settings.ledger_url)
    with ledger.read() as connection:
        working = {row.client_order_id: row for row in intents_in(connection, "paper", [IntentState.WORKING])}
    ledger.close()
    collected.settings.config_path.write_text("risk: [1,")
    answer = scizor("halt", "--portfolio", "main", *WHY, "--json").json
    assert len(answer["left_at_broker"]) == len(working) == run["working"] > 0
    for row in answer["left_at_broker"]:
        order = working[row["client_order_id"]]
        assert (row["symbol"], row["side"], row["state"]) == (order.symbol, order.side, "working")
        assert (Decimal(row["qty"]), row["portfolio"], row["filled"]) == (order.qty, "main", "0")
    assert answer["cancel_with"] == "scizor halt --portfolio main --cancel-open --reason TEXT"
    table = scizor("halt", "--account", "paper", *WHY)
    assert (table.code, "stay there" in table.out) == (0, True)
    assert "To cancel them: scizor halt --account paper --cancel-open --reason TEXT" in table.out
    opening = [name for name, order in working.items() if order.intent in OPENING]
    reduced = scizor("reduce", "--portfolio", "main", *WHY, "--json").json
    assert [row["client_order_id"] for row in reduced["left_at_broker"]] == opening


def test_a_session_that_lost_its_orders_to_a_halt_does_not_end_as_if_all_were_well(
    scizor: Scizor, collected: Project
) -> None:
    assert scizor("halt", "--portfolio", "main", *WHY).code == 0
    answer = scizor("run", "--date", NEXT, "--json")
    assert (answer.code, answer.json["state"]) == (1, "held_back")
    assert answer.json["held_back"] == len(answer.json["held_back_rows"]) > 0
    lost = {(row["symbol"], row["side"]): row for row in answer.json["held_back_rows"]}
    assert ("AAPL", "sell") in lost
    assert ("NVDA", "buy") in lost
    assert all(float(row["qty"]) > 0 and row["lost"] for row in lost.values())
    assert "halted by ann: it runs away" in lost["AAPL", "sell"]["why"]
    assert "main/executions:no_order_was_held_back" in answer.json["failed_checks"]
    table = scizor("reconcile", "--date", NEXT)
    assert (table.code, "Orders that were held back" in table.out) == (1, True)


@pytest.mark.parametrize(
    "call",
    [
        ("reduce", *WHY),
        ("resume", *WHY),
        ("limits",),
        ("risk", "events"),
        ("risk", "locks"),
        ("risk", "accept-equity", "--session", str(NEXT), "--equity", "1", *WHY),
    ],
)
def test_a_portfolio_that_does_not_exist_is_answered_with_those_that_do(
    scizor: Scizor, fresh: Project, call: tuple[str, ...]
) -> None:
    answer = scizor(*call, "--portfolio", "nope")
    assert answer.code == 2
    assert answer.sentence.endswith("There is no portfolio 'nope'. Use one of: main.")
    assert not fresh.home.exists()
