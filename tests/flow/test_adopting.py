"""What an account holds beside its portfolios is handed to one of them, and to no other effect than that."""

import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import InputError
from scizor_dagster.flow.adopting import adopt_position
from scizor_dagster.flow.closing import reconcile_session
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.splitting import StatedSplit, record_stated_split
from scizor_dagster.ledger.breaks import open_breaks
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.rows import intents_of_session
from scizor_dagster.ledger.verification import verify
from tests.flow.desks import FIRST, NOW, add_action, collected, trade
from tests.flow.test_account_around_a_portfolio import by_hand
from tests.projects import project_at

BY_HAND = "META"
LAST, AFTER = date(2025, 3, 31), date(2025, 4, 1)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    desk = collected(folder)
    trade(desk, FIRST)
    by_hand(desk, BY_HAND, Side.BUY, 7, FIRST, fill=True)
    desk.lake.close()
    desk.ledger.close()
    return folder


@pytest.fixture
def desk(template: Path, tmp_path: Path) -> Desk:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Desk(project_at(tmp_path).settings, lambda: NOW)


def adopt(desk: Desk, symbol: str, qty: str | None = None, price: str | None = None, old: str | None = None) -> Decimal:
    shares, paid = (None if text is None else Decimal(text) for text in (qty, price))
    return adopt_position(desk, "main", symbol, qty=shares, price=paid, renamed_from=old, actor="ann").qty


def holdings(desk: Desk) -> dict[str, Decimal]:
    with desk.ledger.read() as connection:
        assert verify(connection) == []
        return owned(connection, "paper", "main")


def test_all_that_nobody_owns_is_handed_over_and_reconciles_from_then_on(desk: Desk) -> None:
    before = holdings(desk)
    assert adopt(desk, BY_HAND) == 7
    assert holdings(desk) == {**before, BY_HAND: Decimal(7)}
    reconcile_session(desk, "main", FIRST)
    with desk.ledger.read() as connection:
        assert [row for row in open_breaks(connection, "paper") if row.symbol == BY_HAND] == []


def test_a_part_is_handed_over_at_the_price_that_is_said(desk: Desk) -> None:
    done = adopt_position(desk, "main", BY_HAND, qty=Decimal(3), price=Decimal("12.5"), renamed_from=None, actor="ann")
    assert (done.qty, done.price) == (3, Decimal("12.5"))
    assert holdings(desk)[BY_HAND] == 3
    assert adopt(desk, BY_HAND) == 4, "the rest of it, in the same session"
    assert holdings(desk)[BY_HAND] == 7
    with pytest.raises(InputError, match="Nobody owns 0 META"):
        adopt(desk, BY_HAND)


@pytest.mark.parametrize("qty", ["7.5", "-7", "8"])
def test_more_than_is_nobodys_or_the_other_side_is_refused_with_what_is_there(desk: Desk, qty: str) -> None:
    with pytest.raises(InputError, match=r"Nobody owns 7 META of the account, and .* are asked for\.") as refused:
        adopt(desk, BY_HAND, qty)
    assert "META 7" in refused.value.remedy


def test_what_a_portfolio_owns_already_is_not_handed_over(desk: Desk) -> None:
    with pytest.raises(InputError, match=r"Nobody owns 0 AAPL of the account\."):
        adopt(desk, "AAPL")


def test_nothing_is_handed_over_while_an_order_for_it_is_at_the_broker(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scizor_dagster.flow.adopting.catch_up", lambda *_: None)
    with desk.ledger.transaction() as connection:
        row = next(row for row in intents_of_session(connection, "paper", FIRST) if row.symbol == "AAPL")
        connection.exec_driver_sql(
            "UPDATE orders SET state = 'working', symbol = ? WHERE client_order_id = ?", (BY_HAND, row.client_order_id)
        )
    with pytest.raises(InputError, match="An order for META is at the broker"):
        adopt(desk, BY_HAND)


def renamed(desk: Desk, old: str, new: str) -> None:
    """The account shows a holding under another name from now on."""
    with desk.ledger.transaction() as connection:
        statement = "UPDATE paper_positions SET symbol = ? WHERE symbol = ?"
        assert connection.exec_driver_sql(statement, (new, old)).rowcount == 1


def test_a_holding_goes_on_under_its_new_name_at_its_last_close(desk: Desk) -> None:
    held = holdings(desk)["AAPL"]
    renamed(desk, "AAPL", "APPL")
    done = adopt_position(desk, "main", "APPL", qty=None, price=None, renamed_from="AAPL", actor="ann")
    assert (done.qty, done.renamed_from) == (held, "AAPL")
    assert done.price > 0
    after = holdings(desk)
    assert (after.get("AAPL", Decimal(0)), after["APPL"]) == (0, held)


def test_a_name_under_which_the_account_still_holds_something_is_not_renamed(desk: Desk) -> None:
    with pytest.raises(InputError, match="still shows some, so it is not META now"):
        adopt(desk, BY_HAND, old="AAPL")


def test_a_part_of_a_renamed_holding_and_a_name_that_was_never_held_are_refused(desk: Desk) -> None:
    renamed(desk, "AAPL", "APPL")
    with pytest.raises(InputError, match="all of it or nothing moves"):
        adopt(desk, "APPL", "1", old="AAPL")
    with pytest.raises(InputError, match="there is none to rename"):
        adopt(desk, "APPL", old="IBM")


def test_what_has_no_close_needs_a_price(desk: Desk) -> None:
    with desk.ledger.transaction() as connection:
        connection.exec_driver_sql("UPDATE paper_positions SET symbol = 'NEWCO' WHERE symbol = ?", (BY_HAND,))
    with pytest.raises(InputError, match="No close of NEWCO is known through"):
        adopt(desk, "NEWCO")
    assert adopt(desk, "NEWCO", price="3") == 7


def hold(desk: Desk, symbol: str, qty: str) -> None:
    """The account shows so much of it from now on."""
    with desk.ledger.transaction() as connection:
        statement = "UPDATE paper_positions SET qty = ? WHERE symbol = ?"
        assert connection.exec_driver_sql(statement, (qty, symbol)).rowcount == 1


def test_what_is_gone_is_written_off_at_most_that_and_only_when_it_is_named(desk: Desk) -> None:
    held = holdings(desk)["AAPL"]
    left = held - 3
    hold(desk, "AAPL", str(left))
    for asked in (None, "3", "-4"):
        with pytest.raises(InputError, match="nothing of it is nobody's") as refused:
            adopt(desk, "AAPL", asked)
        assert refused.value.remedy.endswith("scizor adopt main AAPL --qty=-3.")
    assert adopt(desk, "AAPL", "-1") == -1
    assert adopt(desk, "AAPL", "-2") == -2
    assert holdings(desk)["AAPL"] == left


def test_what_has_gone_to_the_other_side_is_written_off_and_no_more(desk: Desk) -> None:
    held = holdings(desk)["AAPL"]
    hold(desk, "AAPL", "-20")
    with pytest.raises(InputError, match="nothing of it is nobody's"):
        adopt(desk, "AAPL", str(-held - 20))
    adopt(desk, "AAPL", str(-held))
    assert "AAPL" not in holdings(desk)
    assert adopt(desk, "AAPL") == -20


@pytest.mark.parametrize("ratio", ["2", "0.5"])
def test_what_looks_like_a_split_is_neither_handed_over_nor_written_off(desk: Desk, ratio: str) -> None:
    held = holdings(desk)["AAPL"]
    after = held * Decimal(ratio)
    hold(desk, "AAPL", str(after))
    with pytest.raises(
        InputError, match=r"that is what a (split of 2 for 1|consolidation of 1 for 2) leaves"
    ) as refused:
        adopt(desk, "AAPL", str(after - held))
    assert "--no-split" in refused.value.remedy
    done = adopt_position(
        desk, "main", "AAPL", qty=after - held, price=None, renamed_from=None, actor="ann", is_no_split=True
    )
    assert done.written_off is (ratio == "0.5")
    assert holdings(desk)["AAPL"] == after


def test_what_takes_other_units_after_the_last_close_is_not_handed_over(desk: Desk) -> None:
    add_action(desk, BY_HAND, AFTER, "split", 2.0)
    with pytest.raises(InputError, match=r"A split of META takes effect on 2025-04-01, after 2025-03-31"):
        adopt(desk, BY_HAND)


def test_a_split_is_stated_where_nobody_tells_of_it_and_nothing_is_handed_over_before(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("adopting", "splitting"):
        monkeypatch.setattr(f"scizor_dagster.flow.{module}.catch_up", lambda *_: None)
    held = holdings(desk)["AAPL"]
    add_action(desk, "AAPL", LAST, "split", 2.0)
    hold(desk, "AAPL", str(held * 2 + 5))
    with pytest.raises(InputError, match="the split of 2 for 1 on 2025-03-31 is listed, and the broker has not booked"):
        adopt(desk, "AAPL")
    with pytest.raises(InputError, match="which the split would make"):
        state(desk, "AAPL")
    hold(desk, "AAPL", str(held * 2))
    done = state(desk, "AAPL")
    assert (done.session, done.before, done.after) == (LAST, held, held * 2)
    assert holdings(desk)["AAPL"] == held * 2
    with pytest.raises(InputError, match="recorded: a split of 2 for 1, stated by ann"):
        state(desk, "AAPL")
    hold(desk, "AAPL", str(held * 2 + 5))
    assert adopt(desk, "AAPL") == 5


def test_a_split_of_which_no_session_is_known_or_that_is_still_to_come_is_not_stated(desk: Desk) -> None:
    with pytest.raises(InputError, match="No split of AAPL by 2 is listed through 2025-04-01") as refused:
        state(desk, "AAPL")
    assert "--date D" in refused.value.remedy
    with pytest.raises(InputError, match="2025-04-02 has not begun"):
        state(desk, "AAPL", date(2025, 4, 2))
    with pytest.raises(InputError, match="which the split would make"):
        state(desk, BY_HAND, LAST)


def state(desk: Desk, symbol: str, day: date | None = None) -> StatedSplit:
    return record_stated_split(desk, "main", symbol, ratio=Decimal(2), ex_session=day, actor="ann")
