"""Plans made again to the byte, and every stored number that somebody changed behind Scizor's back found and named.

The edits of a group are made on one copy, for they do not hide each other; under `SCIZOR_TORTURE` each has its own.
"""

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from scizor_dagster.analytics.replays import SessionReplay
from scizor_dagster.errors import InputError, InputsGone
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.ledger_care import verify_ledger
from scizor_dagster.flow.lifecycle import change_state
from scizor_dagster.flow.maintenance import maintain_lake
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.replaying import newest_planned, replay_sessions
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.planning.archives import digest_of
from tests.flow.desks import EARLY, FIRST, NOW, SECOND
from tests.flow.test_blend import opened
from tests.flow.traded import SESSIONS, copied, correct
from tests.projects import write_weights

DAY = f"session = DATE '{SECOND}'"


@dataclass(frozen=True)
class Edit:
    """One statement, and the words by which the number that it changed must be named."""

    name: str
    statement: str
    found: str
    in_ledger: str = ""


LAKE = (
    Edit("price", "UPDATE bars SET close = close + 1 WHERE symbol = 'AAPL' AND session = DATE '2025-03-07'",
         "bars: AAPL 2025-03-07: close is 5.71, and must be 4.71. No restatement"),
    Edit("earlier price", "UPDATE bars SET low = low - 1 WHERE symbol = 'NVDA' AND session = DATE '2025-03-05'",
         "bars: NVDA 2025-03-05: low is"),
    Edit("weight of a file", f"UPDATE signals SET weight = 0.45 WHERE strategy = 'value' AND {DAY}",
         "signals: 2025-03-10 value line 4, 2025-03-10 1: weight is 0.45, and must be 0.4. The file is as it was"),
    Edit("target", f"UPDATE target_weights SET target_weight = '0.31' WHERE symbol = 'NVDA' AND {DAY}",
         "target_weights: main 2025-03-10 NVDA: target_weight is 0.31, and must be 0.3"),
    Edit("weight in an attribution",
         f"UPDATE target_attribution SET weight_stated = '0.6' WHERE symbol = 'NVDA' AND {DAY}",
         "NVDA, trend line 5: weight_stated is 0.6, and must be 0.5"),
    Edit("contribution", f"UPDATE target_attribution SET contribution = '0.2' WHERE symbol = 'AAPL' AND {DAY}",
         "target_attribution: main 2025-03-10 AAPL: sum of contribution is 0.2, and must be 0.24"),
    Edit("line of a plan", f"UPDATE plan_lines SET target_qty = '1' WHERE symbol = 'MSFT' AND {DAY}",
         "plan_lines: MSFT: target_qty is 1, and must be"),
    Edit("planned order", f"UPDATE planned_orders SET qty = '1' WHERE symbol = 'GOOG' AND {DAY}",
         ": qty is 1, and must be"),
    Edit("equity of a plan", f"UPDATE plans SET equity = '1' WHERE {DAY}", ": equity is 1, and must be"),
    Edit("version of a plan", f"UPDATE plans SET code_version = '9' WHERE {DAY}",
         "code_version is 9, and must be"),
    Edit("snapshot of a plan", f"UPDATE plans SET lake_snapshot = lake_snapshot - 1 WHERE {DAY}",
         "lake_snapshot is"),
)  # fmt: skip
ARCHIVE = (
    Edit("inputs", f"UPDATE plan_inputs SET inputs = replace(inputs, '\"cash\": \"', '\"cash\": \"9') WHERE {DAY}",
         "SHA-256 of inputs is"),
)  # fmt: skip
LATER_SNAPSHOT = (
    Edit("later snapshot of a plan", f"UPDATE plans SET lake_snapshot = lake_snapshot + 40 WHERE {DAY}",
         "lake_snapshot is"),
)  # fmt: skip
TAKEN_OUT = (
    Edit("row of a bar", "DELETE FROM bars WHERE symbol = 'AAPL' AND session = DATE '2025-03-07'",
         "bars: AAPL 2025-03-07: is absent, and must be there"),
    Edit("row of a file", f"DELETE FROM signals WHERE strategy = 'value' AND {DAY}",
         "signals: main 2025-03-10 MSFT, value line 4: is absent, and must be there"),
    Edit("row of a plan", f"DELETE FROM plan_lines WHERE symbol = 'NVDA' AND {DAY}",
         "plan_lines: NVDA: is absent, and must be there"),
)  # fmt: skip
LEDGER = (
    Edit("quantity of a fill", "UPDATE trades SET qty = '1' WHERE fill_id = 'paper-F14'",
         "trades: main AAPL before 2025-03-10: sum of qty is", "trades: row paper, paper-F14, 1 has qty '1'"),
    Edit("price of a fill", "UPDATE trades SET price = '1' WHERE fill_id = 'paper-F15'",
         ": cash is", "trades: row paper, paper-F15, 1 has price '1'"),
    Edit("fee of a fill", "UPDATE trades SET fee = '7' WHERE fill_id = 'paper-F16'",
         ": cash is", "trades: row paper, paper-F16, 1 has fee '7'"),
    Edit("payment", "UPDATE activities SET amount = '1' WHERE kind = 'dividend'", ": cash is", "has amount '1'"),
    Edit("intent's quantity", "UPDATE orders SET planned_qty = '2' WHERE symbol = 'GOOG' AND session = '2025-03-10'",
         ": planned_qty is 2, and must be", "has planned_qty '2'"),
    Edit("intent's state", "UPDATE orders SET state = 'canceled' WHERE symbol = 'MSFT' AND session = '2025-03-10'",
         "", "has state 'canceled'"),
    Edit("buffer of a batch", "UPDATE batches SET cash_buffer = '5' WHERE session = '2025-03-10'",
         "cash_buffer is 5, and must be", "has cash_buffer '5'"),
)  # fmt: skip
PLAN_OF_A_BATCH = (
    Edit("plan of a batch", "UPDATE batches SET plan_id = 'abc' WHERE session = '2025-03-10'",
         "plans: plan_id abc: is absent, and must be there", "has plan_id 'abc'"),
)  # fmt: skip


def groups(*together: Sequence[Edit]) -> list[object]:
    alone = bool(os.environ.get("SCIZOR_TORTURE"))
    made = [(item,) for edits in together for item in edits] if alone else together
    return [pytest.param(edits, id=", ".join(item.name for item in edits)) for edits in made]


def replayed(desk: Desk) -> SessionReplay:
    (found,) = replay_sessions(desk, "main", SECOND, SECOND).sessions
    return found


def said(found: SessionReplay) -> list[str]:
    return [item.sentence for item in found.differences]


def change(desk: Desk, *statements: str) -> None:
    with desk.lake.write() as cursor:
        for statement in statements:
            cursor.execute(statement)


def closed(desk: Desk) -> None:
    desk.lake.close()
    desk.ledger.close()


def test_each_session_is_made_again_to_the_same_bytes(past: Path) -> None:
    desk = opened(past)
    found = replay_sessions(desk, "main", EARLY, NOW.date()).sessions
    assert [item.session for item in found] == list(SESSIONS)
    for item in found:
        assert (item.agrees, item.equal, item.findings) == (True, True, ()), said(item)
        assert item.stored_sha256 == item.made_sha256
        assert item.to_json()["findings"] == []
    assert newest_planned(desk, "main") == SESSIONS[-1]
    with pytest.raises(InputError, match="has no plan for 2025-02-28"):
        replay_sessions(desk, "main", EARLY, EARLY)
    closed(desk)


@pytest.mark.parametrize("edits", groups(LAKE, ARCHIVE, LATER_SNAPSHOT, TAKEN_OUT))
def test_an_edit_of_a_stored_number_of_the_lake_is_found_and_named(
    past: Path, tmp_path: Path, edits: tuple[Edit, ...]
) -> None:
    desk = copied(past, tmp_path)
    change(desk, *(item.statement for item in edits))
    found = replayed(desk)
    sentences = said(found)
    assert not found.agrees
    for item in edits:
        assert any(item.found in sentence for sentence in sentences), (item.name, sentences)
    closed(desk)


def test_inputs_that_were_forged_with_their_digest_do_not_give_the_admitted_plan(past: Path, tmp_path: Path) -> None:
    desk = copied(past, tmp_path)
    with desk.lake.read() as cursor:
        (text,) = cursor.execute(f"SELECT inputs FROM plan_inputs WHERE {DAY}").fetchone()
    forged = text.replace('"price": "4.71"', '"price": "4.72"', 1)
    assert forged != text
    with desk.lake.write() as cursor:
        cursor.execute(f"UPDATE plan_inputs SET inputs = ? WHERE {DAY}", [forged])
        cursor.execute(f"UPDATE plans SET inputs_sha256 = ? WHERE {DAY}", [digest_of(forged)])
    sentences = said(replayed(desk))
    assert any("digest is" in item for item in sentences)
    assert any("price of AAPL: price is 4.72, and must be 4.71" in item for item in sentences)
    closed(desk)


@pytest.mark.parametrize("edits", groups(LEDGER, PLAN_OF_A_BATCH))
def test_an_edit_of_a_stored_number_of_the_ledger_is_found_and_named(
    past: Path, tmp_path: Path, edits: tuple[Edit, ...]
) -> None:
    desk = copied(past, tmp_path)
    with sqlite3.connect(desk.settings.home / "ledger.sqlite") as connection:
        for item in edits:
            assert connection.execute(item.statement).rowcount >= 1, item.name
    connection.close()
    verified, sentences = verify_ledger(desk, None), said(replayed(desk))
    for item in edits:
        assert any(item.in_ledger in sentence for sentence in verified), (item.name, verified)
        if item.found:
            assert any(item.found in sentence for sentence in sentences), (item.name, sentences)
    closed(desk)


def test_a_line_of_a_file_that_was_changed_later_is_named_and_a_delivery_that_goes_on_is_not(
    past: Path, tmp_path: Path
) -> None:
    desk = copied(past, tmp_path)
    change(desk, f"UPDATE signals SET path = replace(path, '{past}', '{tmp_path}')")
    file = tmp_path / "trend.csv"
    text = file.read_text()
    file.write_text(text + "2025-04-07,AAPL,0.5\n")
    found = replayed(desk)
    assert (found.agrees, found.findings) == (True, ())
    assert any("another content" in note for note in found.notes)
    file.write_text(text.replace(f"{SECOND},AAPL,0.4", f"{SECOND},AAPL,0.3"))
    (sentence,) = said(replayed(desk))
    assert "trend.csv: line 4, 2025-03-10 AAPL: weight is 0.3, and must be 0.4." in sentence
    file.unlink()
    found = replayed(desk)
    assert found.agrees
    assert any("not there any more" in note for note in found.notes)
    closed(desk)


def test_a_price_that_was_restated_in_the_open_is_information(past: Path, tmp_path: Path) -> None:
    desk = copied(past, tmp_path)
    key = "symbol = 'AAPL' AND session = DATE '2025-03-07'"
    bar = (
        "market, symbol, session, open, high, low, close, volume, adjustment, synthetic, source, fetched_at, stored_at"
    )
    change(
        desk,
        f"INSERT INTO bar_revisions ({bar}, replaced_at, last_snapshot, reason) SELECT {bar}, now(), "
        f"(SELECT max(snapshot_id) FROM lake.snapshots()), 'restated_bar' FROM bars WHERE {key}",
        f"UPDATE bars SET close = 4.8 WHERE {key}",
    )
    found = replayed(desk)
    assert found.agrees
    (told,) = found.findings
    assert (told.kind, told.stored, told.expected) == ("information", "4.8", "4.71")
    change(desk, f"UPDATE bar_revisions SET close = 4.7 WHERE {key}")
    assert any(
        "bar_revisions: AAPL 2025-03-07: close is 4.7, and must be 4.71" in item for item in said(replayed(desk))
    )
    closed(desk)


def test_a_correction_that_came_after_the_plan_is_information(past: Path, tmp_path: Path) -> None:
    desk = copied(past, tmp_path)
    correct(desk)
    found = replayed(desk)
    assert found.agrees, said(found)
    (told,) = found.findings
    assert (told.kind, told.field) == ("information", "cash")
    assert "recorded after the plan was made" in told.sentence
    closed(desk)


@pytest.mark.parametrize("liquidate", [False, True])
def test_what_a_strategy_that_rests_has_in_a_plan_is_no_difference(past: Path, tmp_path: Path, liquidate: bool) -> None:
    desk, third = copied(past, tmp_path), SESSIONS[-1] + timedelta(days=7)
    write_weights(tmp_path / "value.csv", {third: {"1": 0.4, "2": 0.3}})
    action = "stop" if liquidate else "pause"
    change_state(desk, ["main"], "trend", action, liquidate=liquidate, actor="jo", reason="a look")
    consolidate_session(desk, "main", third)
    plan_session(desk, "main", third)
    (found,) = replay_sessions(desk, "main", third, third).sessions
    assert found.agrees, said(found)
    closed(desk)


def test_after_a_clean_up_a_plan_is_still_equal_and_its_prices_are_still_held_against_the_bars(
    past: Path, tmp_path: Path
) -> None:
    desk = copied(past, tmp_path)
    maintain_lake(Desk(desk.settings, lambda: NOW + timedelta(days=800)), grace=timedelta(0))
    found = replayed(desk)
    assert (found.agrees, found.findings) == (True, ())
    assert any("is gone" in note for note in found.notes)
    change(desk, "UPDATE bars SET close = 9 WHERE symbol = 'AAPL' AND session = DATE '2025-03-07'")
    assert any("bars: AAPL 2025-03-07: close is 9.0, and must be 4.71" in item for item in said(replayed(desk)))
    closed(desk)


def test_a_plan_without_what_it_was_made_from_cannot_be_replayed(past: Path, tmp_path: Path) -> None:
    desk = copied(past, tmp_path)
    change(desk, f"DELETE FROM plan_inputs WHERE {DAY}")
    with pytest.raises(InputsGone, match="no inputs beside it"):
        replayed(desk)
    (first,) = replay_sessions(desk, "main", FIRST, FIRST).sessions
    assert first.agrees
    closed(desk)


def test_a_plan_of_a_range_that_cannot_be_replayed_is_named_and_the_others_are_replayed(
    past: Path, tmp_path: Path
) -> None:
    desk = copied(past, tmp_path)
    change(desk, f"DELETE FROM plan_inputs WHERE {DAY}")
    found = replay_sessions(desk, "main", FIRST, SECOND)
    assert ([item.session for item in found.sessions], found.agree) == ([FIRST], True)
    (gone,) = found.missing
    assert (gone.session, "no inputs beside it" in gone.problem) == (SECOND, True)
    assert gone.sentence.startswith(f"{SECOND}: plan {gone.plan_id[:12]} cannot be made again. The plan has no inputs")
    assert gone.to_json()["plan_id"] == gone.plan_id
    change(desk, "UPDATE planned_orders SET qty = '1' WHERE symbol = 'AAPL'")
    assert not replay_sessions(desk, "main", FIRST, SECOND).agree
    change(desk, "DELETE FROM plan_inputs")
    with pytest.raises(InputsGone) as nothing:
        replay_sessions(desk, "main", FIRST, SECOND)
    assert nothing.value.exit_code == 2
    closed(desk)
