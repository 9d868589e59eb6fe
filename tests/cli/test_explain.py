"""`scizor explain` and `scizor replay` as a person types them: what they print, and how they end."""

from datetime import timedelta
from pathlib import Path

from scizor_dagster.analytics.explain.text import WIDTH
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from tests.cli.conftest import NEXT, TRADED, Scizor
from tests.projects import Project


def change(project: Project, statement: str) -> None:
    lake = Lake(LakeLocation.embedded(project.home / "lake"))
    with lake.write() as cursor:
        cursor.execute(statement)
    lake.close()


def test_a_ticker_is_explained_in_lines_that_fit_and_as_json_with_stable_names(
    scizor: Scizor, collected: Project
) -> None:
    told = scizor("explain", "AAPL", "--date", TRADED)
    assert told.code == 0
    assert max(map(len, told.out.splitlines())) <= WIDTH
    for words in ("Weight file, line 2", "Quantity", "Decision: open", "Pre-trade checks", "Reconciliation"):
        assert words in told.out
    body = scizor("explain", "AAPL", "--json").json
    assert (body["kind"], body["portfolio"], body["session"]) == ("line", "main", TRADED.isoformat())
    assert all(
        set(link) == {"step", "title", "source", "sentences", "facts", "rows", "missing"} for link in body["links"]
    )
    order = next(link for link in body["links"] if link["step"] == "order")["facts"]["client_order_id"]
    assert scizor("explain", order, "--json").json["kind"] == "order"
    line = scizor("explain", "--file", "weights.csv", "--line", 2, "--json")
    assert line.json["links"][1]["rows"][0]["order"] == order


def test_a_name_that_means_nothing_and_a_call_without_one_are_refused(scizor: Scizor, collected: Project) -> None:
    unknown = scizor("explain", "XYZ", "--date", TRADED)
    assert (unknown.code, "Give a client order id" in unknown.sentence) == (2, True)
    for call in ((), ("AAPL", "--file", "weights.csv", "--line", 2), ("--file", "weights.csv")):
        assert (scizor("explain", *call).code, scizor("explain", *call).out) == (2, "")
    assert scizor("explain", "AAPL", "--portfolio", "none").code == 2


def test_looking_back_at_nothing_creates_nothing(scizor: Scizor, fresh: Project) -> None:
    for call in (("explain", "AAPL"), ("explain", "weights.csv:2"), ("replay",), ("replay", "--date", TRADED)):
        assert scizor(*call).code == 2
    assert not fresh.home.exists()


def test_a_replay_ends_with_0_where_all_agrees_and_with_1_where_a_number_was_changed(
    scizor: Scizor, collected: Project, tmp_path: Path
) -> None:
    equal = scizor("replay")
    assert (equal.code, "equal to the byte; 0 difference(s)" in equal.out) == (0, True)
    ranged = scizor("replay", "--from", TRADED, "--to", NEXT, "--json")
    assert (ranged.code, len(ranged.json["sessions"])) == (0, 1)
    assert scizor("replay", "--from", NEXT, "--to", TRADED).code == 2
    assert scizor("replay", "--from", NEXT).code == 2
    change(collected, "UPDATE planned_orders SET qty = '1' WHERE symbol = 'AAPL'")
    different = scizor("replay", "--date", TRADED)
    assert (different.code, "NOT equal" in different.out, ": qty is 1, and must be" in different.out) == (1, True, True)


def test_a_range_names_the_plan_that_cannot_be_replayed_and_only_nothing_to_replay_ends_with_2(
    scizor: Scizor, collected: Project
) -> None:
    change(
        collected,
        "INSERT INTO plans SELECT * REPLACE (repeat('0', 64) AS plan_id, session + 7 AS session) FROM plans",
    )
    ranged = ("replay", "--from", TRADED, "--to", TRADED + timedelta(days=7))
    told = scizor(*ranged)
    assert (told.code, "1 session(s) replayed, 0 with differences; 1 could not be." in told.out) == (0, True)
    assert f"{TRADED + timedelta(days=7)}: plan 000000000000 cannot be made again." in told.out
    body = scizor(*ranged, "--json").json
    assert (body["agree"], len(body["sessions"]), len(body["missing"])) == (True, 1, 1)
    change(collected, "DELETE FROM plan_inputs")
    assert scizor(*ranged).code == 2
