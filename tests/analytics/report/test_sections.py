"""What each section says: of a quiet session, of a bad one, and of what has not come yet."""

import shlex
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from scizor_dagster.analytics.report.facts import Quality, ReportFacts
from scizor_dagster.analytics.report.formats import UNKNOWN, gain, growth, money, price, quantity, rate
from scizor_dagster.analytics.report.holdings import positions, provenance, quality
from scizor_dagster.analytics.report.model import Cell, Said, Section, Table, Tiles, table
from scizor_dagster.analytics.report.results import earned, linked, paid
from scizor_dagster.analytics.report.trading import broken, decided, done
from scizor_dagster.analytics.report.verdict import tone_of, verdict
from scizor_dagster.ledger.manual_orders import ManualOrder
from tests.analytics.report import samples
from tests.analytics.report.samples import AT, QUIET, RECONCILED, SESSION, SUMMARY, TRADING, measured

D = Decimal
BAD = samples.broken()


def said(section: Section) -> list[str]:
    return [block.text for block in section.blocks if isinstance(block, Said)]


def commands(facts: ReportFacts) -> list[str]:
    return [item for block in verdict(facts).blocks if isinstance(block, Said) for item in block.commands]


def rows(section: Section, title: str) -> list[dict[str, str]]:
    found = next(block for block in section.blocks if isinstance(block, Table) and block.title.startswith(title))
    names = [column.name for column in found.columns]
    return [dict(zip(names, (cell.text for cell in row), strict=True)) for row in found.rows]


def tiles(section: Section) -> dict[str, Cell]:
    return {tile.name: tile.value for block in section.blocks if isinstance(block, Tiles) for tile in block.items}


def traded(**more: Any) -> ReportFacts:
    return replace(QUIET, trading=replace(TRADING, **more))


def test_a_quiet_session_needs_nobody() -> None:
    found = verdict(QUIET)
    assert said(found) == [
        "Session 2025-03-10 of portfolio main: reconciled. 2 of 2 orders filled whole.", "Nothing needs a person.",
    ]  # fmt: skip
    assert (tone_of(found), commands(QUIET)) == ("good", [])


def test_each_thing_that_needs_a_person_comes_with_what_to_type() -> None:
    assert tone_of(verdict(BAD)) == "bad"
    assert commands(BAD) == [
        "scizor run --portfolio main --date 2025-03-10",
        "scizor resume --portfolio main --reason TEXT",
        "scizor reconcile --portfolio main --date 2025-03-10",
        "scizor risk accept-break 1f0c22ab93d0 --reason TEXT",
        "scizor explain TSLA --portfolio main --date 2025-03-10",
    ]
    text = " ".join(said(verdict(BAD)))
    for part in ("not known, and their instruments are frozen: NVDA", "halted by ann: the feed is odd", "Locked until",
                 "1 order held back to the end of the session: GOOG"):  # fmt: skip
        assert part in text


def test_a_command_that_is_copied_does_what_it_says_and_nothing_else() -> None:
    for item in commands(samples.hostile()):
        words = shlex.split(item)
        assert words[0] == "scizor"
        assert {word for word in words if "<" in word} <= {samples.ATTACK}, item


def test_a_halt_of_the_account_is_ended_for_the_account() -> None:
    facts = replace(QUIET, standing=replace(samples.HALTED, portfolio=None))
    assert commands(facts) == ["scizor resume --account paper --reason TEXT"]


@pytest.mark.parametrize(
    ("facts", "words", "typed"),
    [
        (replace(traded(batches=(), intents=()), summary=SUMMARY | {"state": "awaiting_approval",
                 "awaiting_approval": "abcdef0123456789"}),
         "Plan abcdef012345 with 2 orders waits for your approval",
         ["scizor approve abcdef012345", "scizor run --portfolio main --date 2025-03-10"]),
        (replace(traded(batches=(), intents=()), is_over=False), "nothing of it was sent. Carry it out:",
         ["scizor run --portfolio main --date 2025-03-10"]),
        (traded(batches=(), intents=()), "The session is over: they cannot be sent any more.", []),
        (replace(QUIET, summary=SUMMARY | {"state": "not reconciled", "breaks": None}), "was traded and not reconciled",
         ["scizor reconcile --portfolio main --date 2025-03-10"]),
        (replace(QUIET, measured=measured(0), quality=Quality(False, (), 0)), "prices are not collected yet",
         ["scizor collect daily --market us --date 2025-03-10"]),
        (replace(QUIET, measured=measured(0)), "not measured yet; reconciling it measures it",
         ["scizor reconcile --portfolio main --date 2025-03-10"]),
    ],
)  # fmt: skip
def test_a_stage_that_has_not_come_is_said_with_what_brings_it(
    facts: ReportFacts, words: str, typed: list[str]
) -> None:
    assert words in " ".join(said(verdict(facts)))
    assert (commands(facts), tone_of(verdict(facts))) == (typed, "warn")


def test_the_plan_says_where_each_order_comes_from_and_why_others_have_none() -> None:
    found = decided(QUIET)
    bought, sold = rows(found, "Orders of the plan")
    assert (bought["from"], bought["price of"], bought["value"]) == ("trend.csv:3 (0.4)", "2025-03-07", "5,000.00")
    assert (sold["from"], sold["reference price"]) == ("no line names it", "250.125")
    assert "Not ordered: 2 instruments (below min notional 1, on target 1)." in said(found)
    (idle,) = rows(found, "Not ordered")
    assert (idle["symbol"], idle["in words"].endswith("worth 3.20")) == ("NVDA", True)
    assert rows(found, "Files that it came from")[0]["lines used"] == "2 to 5 (3)"
    assert "c0ffee" in rows(found, "Files that it came from")[0]["SHA-256"]


def test_a_price_that_is_older_than_the_plan_is_marked() -> None:
    found = decided(traded(price_ages={samples.BEFORE: 2}))
    assert {row["price of"] for row in rows(found, "Orders of the plan")} == {"2025-03-07, 2 sessions old"}


def test_no_plan_is_said_and_no_figure_is_made_of_it() -> None:
    found = decided(traded(plan=None))
    assert said(found) == ["Nothing was planned for 2025-03-10, or the lake does not have it."]
    assert len(found.blocks) == 1


def test_orders_show_what_filled_at_which_price_and_what_did_not_and_why() -> None:
    bought, sold = rows(done(QUIET), "Orders")
    assert (bought["average price"], bought["slippage"], sold["slippage"]) == ("50.10", "20.0 bp", UNKNOWN)
    assert "Every order was filled whole." in said(done(QUIET))
    missing = rows(done(BAD), "What did not fill")
    assert [(row["symbol"], row["shares"], row["state"], row["why"]) for row in missing] == [
        ("MSFT", "8", "expired", "volume ran out: 12 of 20 filled"), ("NVDA", "8", "unknown", "it is still working"),
    ]  # fmt: skip
    times = [row["time (America/New_York)"] for row in rows(done(QUIET), "Executions")]
    assert times == ["2025-03-10 09:31:00"] * 2


def test_nothing_sent_and_nothing_to_send_are_two_things() -> None:
    assert said(done(traded(batches=(), intents=()))) == [
        "Nothing was sent: the ledger has admitted no plan of this session."
    ]
    assert said(done(traded(intents=()))) == ["The plan was carried out, and it had no orders."]


def test_a_break_says_its_class_cause_amount_remedy_and_lock() -> None:
    found = broken(BAD)
    (row,) = rows(found, "Breaks")
    assert (row["class"], row["cause"], row["shares"], row["locks"], row["remedy"]) == (
        "quantity", "sold by hand", "-3", "instrument", "Look at the broker.",
    )  # fmt: skip
    assert [row["what"] for row in rows(found, "Told, and no break")] == ["foreign position"]
    assert rows(found, "Open in the ledger")[0]["id"] == "1f0c22ab93d0"


def test_no_break_is_said_and_a_session_that_was_not_compared_is_not_clean() -> None:
    assert "None: plan, ledger and broker agree." in said(broken(QUIET))
    unknown = said(broken(replace(QUIET, reconciled=replace(RECONCILED, passes=(), day=None))))
    assert unknown[0] == "The session is not reconciled yet: plan, ledger and broker were not compared."
    assert "None: plan, ledger and broker agree." not in unknown


def test_returns_are_linked_over_session_month_year_and_all() -> None:
    spans = rows(earned(QUIET), "Returns and profits")
    curve = QUIET.measured.rows
    assert [row["over"] for row in spans] == ["session 2025-03-10", "month 2025-03", "year 2025", "since 2024-12-02"]
    assert spans[3]["return"] == growth(float(curve["cumulative_return"].iloc[-1])).text
    assert spans[3]["profit"] == gain(float(curve["equity"].iloc[-1]) - 100_000).text
    assert spans[0]["return"] == growth(float(curve["return"].iloc[-1])).text
    months = rows(earned(QUIET), "Monthly returns")
    assert ([row["year"] for row in months], months[1]["Nov"], months[0]["Apr"]) == (["2025", "2024"], "", "")
    assert months[0]["Mar"] == spans[1]["return"]


def test_a_return_that_is_not_known_makes_no_other_one_known() -> None:
    assert linked([0.1, float("nan")]) is None
    assert linked([]) is None
    assert linked([0.1, -0.5]) == pytest.approx(-0.45)


def test_the_best_and_the_worst_are_shown_of_many() -> None:
    names = tuple(f"S{number:02}" for number in range(40))
    found = rows(earned(replace(QUIET, measured=measured(names=names))), "Profit by instrument")
    assert [row["instrument"] for row in found] == [*names[:29:-1], *names[9::-1]]


def test_a_session_that_is_not_measured_yet_shows_the_curve_up_to_the_one_before() -> None:
    facts = replace(QUIET, measured=measured(rows=samples.curve(30, date(2025, 3, 7))))
    assert said(earned(facts))[0] == "2025-03-10 is not measured yet. What follows ends with 2025-03-07."
    assert tiles(verdict(facts))["equity"].text == UNKNOWN
    assert said(earned(replace(QUIET, measured=measured(0)))) == [
        "Nothing is measured yet: there is no equity, no return and no profit to show."
    ]


def test_rolling_measures_need_their_sessions() -> None:
    few = earned(replace(QUIET, measured=measured(5)))
    assert "Rolling measures need 20 measured sessions; there are 5." in said(few)
    assert [row["over"] for row in rows(earned(QUIET), "The last sessions")] == ["20 sessions", "60 sessions"]


def test_without_a_benchmark_there_is_no_column_of_one() -> None:
    facts = replace(QUIET, measured=measured(benchmark="", benchmark_returns=None))
    assert list(rows(earned(facts), "Returns and profits")[0]) == ["over", "return", "profit"]


def test_the_shortfall_is_split_and_a_part_that_is_not_known_is_no_zero() -> None:
    parts = {row["part"]: row["money"] for row in rows(paid(QUIET), "Implementation shortfall")}
    assert parts == {"delay": "20.00", "spread": UNKNOWN, "impact": UNKNOWN, "fees": "1.50", "missed": "8.50",
                     "together": "30.00"}  # fmt: skip
    assert rows(paid(QUIET), "The orders that cost the most")[0]["not known"] == "spread: no quote"
    assert said(paid(traded(costs=()))) == ["What its orders cost is not measured yet."]
    assert said(paid(traded(costs=(), intents=()))) == ["The session had no orders, so that none cost anything."]


def test_positions_say_the_age_of_their_prices_and_whether_the_broker_has_them() -> None:
    fresh, stale = rows(positions(BAD), "Positions at the end")
    assert (fresh["age"], fresh["value"], stale["age"], stale["value"]) == (
        "this session", "5,610.00", "1 session old", UNKNOWN,
    )  # fmt: skip
    assert (stale["at the broker"], stale["target"]) == ("2", "no plan")
    unreconciled = replace(QUIET, reconciled=replace(RECONCILED, passes=()))
    assert "it is not yet" in said(positions(unreconciled))[0]


def test_what_is_wrong_with_the_data_is_named() -> None:
    assert said(quality(QUIET)) == ["Every price that was used or needed is there, and none was set aside."]
    found = quality(BAD)
    assert said(found)[0] == "Held, and without a price of this session: META (2025-03-07)."
    assert rows(found, "Prices set aside")[0]["detail"] == "+80 %"
    unpriced = replace(QUIET, measured=measured(rows=samples.curve(30).assign(unpriced=2)))
    assert said(quality(unpriced)) == ["2 holdings have no price at all and count nothing in the equity."]
    nothing = replace(QUIET, reconciled=replace(RECONCILED, passes=(), positions=()), quality=Quality(False, (), 0))
    assert said(quality(nothing)) == [
        "No price of 2025-03-10 is collected yet.",
        "What is held was not compared yet, so that the age of its prices is not judged.",
    ]


def test_the_provenance_names_plan_snapshot_code_files_and_zone() -> None:
    found = {row["what"]: row["value"] for row in rows(provenance(QUIET), "Where this comes from")}
    assert found["plan"] == "abcdef0123456789"
    assert (found["lake snapshot that it read"], found["version of the code that made it"]) == ("41", "0.1.0+abc")
    assert "c0ffee" in found["file of trend"]
    assert found["times"].startswith("America/New_York")
    assert found["made at"] == "2025-03-10 16:05:00"


def test_a_long_table_says_how_much_it_leaves_out() -> None:
    made = table("t", ("#n",), [(str(number),) for number in range(250)])
    assert (len(made.rows), made.note) == (200, "50 more rows are not shown.")


def test_numbers_are_spelled_the_same_everywhere() -> None:
    assert [money(value) for value in (None, float("nan"), D("-0.001"), D("1234.5"))] == [
        UNKNOWN, UNKNOWN, "0.00", "1,234.50",
    ]  # fmt: skip
    assert [rate(value) for value in (None, float("nan"), -0.00001, 0.1234)] == [UNKNOWN, UNKNOWN, "0.00 %", "12.34 %"]
    assert [price(value) for value in (None, 50.0, "0.12345678", "250.125")] == [
        UNKNOWN,
        "50.00",
        "0.123457",
        "250.125",
    ]
    assert [quantity(value) for value in (None, D("100.00"), D("-0.5"), "1E+3")] == [UNKNOWN, "100", "-0.5", "1,000"]
    assert [gain(value).tone for value in (D(1), D(-1), D(0), None)] == ["good", "bad", "", ""]
    assert [growth(value).tone for value in (0.1, -0.1, 0.0, None)] == ["good", "bad", "", ""]


def test_orders_that_were_placed_by_hand_are_listed_with_who_and_why() -> None:
    first = TRADING.intents[0]
    asked = ManualOrder("paper", "k-1", "main", SESSION, first.batch_id, "p", "{}", "ann", "a hedge", "keep", AT)
    assert not any(isinstance(block, Table) and "by hand" in block.title for block in done(QUIET).blocks)
    others = [replace(intent, batch_id="another") for intent in TRADING.intents[1:]]
    (row,) = rows(done(traded(intents=(first, *others), by_hand=(asked,))), "Of these, placed by hand")
    assert row == {
        "symbol": "AAPL", "side": "buy", "planned": "100", "placed by": "ann", "why": "a hedge",
        "next rebalance": "keep", "idempotency key": "k-1",
    }  # fmt: skip
