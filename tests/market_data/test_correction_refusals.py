"""What a person says of identities, in the book alone: what is refused, with a way out that can be run, and floors."""

import inspect
import re
import shlex
from dataclasses import replace
from datetime import date, timedelta

import click
import pytest
import typer

from scizor_dagster.cli.app import app
from scizor_dagster.errors import InputError
from scizor_dagster.market_data import symbol_corrections
from scizor_dagster.market_data.provider import Listing, SymbolReason
from scizor_dagster.market_data.symbol_changes import decide
from scizor_dagster.market_data.symbol_corrections import join, part
from scizor_dagster.market_data.symbol_rows import Book, Ending, Facts, Identity
from scizor_dagster.market_data.verification import Answers
from tests.market_data.exchange import DAY, FEB1
from tests.market_data.support import entry

DAY_1, DAY_2, DAY_3 = date(2024, 1, 10), date(2024, 1, 20), date(2024, 1, 30)
FIRST_BARS = {"A": DAY_1, "FB": DAY_1, "WM": DAY_2}


def facts(now=FEB1, **endings: Ending) -> Facts:
    known = {symbol: (ending,) for symbol, ending in endings.items()}
    spans = {symbol: (date(2024, 1, 2), now.date()) for symbol in known}
    return Facts("us", now, now.date(), "ibkr", "each", timedelta(days=90), known, spans, FIRST_BARS.get)


def found(symbols: str, by_id: bool = True) -> Answers:
    return Answers({symbol: (Listing(symbol, f"id of {symbol}" if by_id else ""),) for symbol in symbols.split()})


def tracked(symbols: str, book: Book | None = None, now=FEB1) -> Book:
    entries = {symbol: entry(symbol) for symbol in symbols.split()}
    return decide(book or Book(), entries, found(symbols), facts(now)).book


@pytest.fixture
def book() -> Book:
    """A, B, META and NEXT tracked, FB and OUT removed, SILENT without an answer; META has FB's history."""
    book = tracked("A B META NEXT", tracked("A B FB OUT META NEXT"), FEB1 + DAY)
    book.rows["SILENT"] = replace(book.rows["B"], symbol="SILENT", verified=False, reason=SymbolReason.PENDING)
    return join(book, "FB", "META", "renamed", facts()).outcome.book


def refused(how) -> InputError:
    with pytest.raises(InputError) as said:
        how()
    return said.value


def test_every_command_that_a_refusal_names_runs_as_it_is_printed(book):
    away = join(part(book, "A", DAY_3, "x", facts()).outcome.book, "A@2024-01-29", "NEXT", "x", facts())
    again = part(book, "A", DAY_3, "x", facts()).outcome.book
    given = join(again, "A@2024-01-29", "A", "x", facts()).outcome.book
    said = [
        refused(lambda: join(book, "A", "B", "x", facts())),
        refused(lambda: join(book, "NONE", "B", "x", facts())),
        refused(lambda: join(book, "OUT", "OUT", "x", facts())),
        refused(lambda: join(book, "FB", "OUT", "x", facts())),
        refused(lambda: join(book, "OUT", "SILENT", "x", facts())),
        refused(lambda: join(book, "OUT", "META", "x", facts())),
        refused(lambda: join(book, "FB", "NEXT", "x", facts())),
        refused(lambda: join(away.outcome.book, "A@2024-01-29", "A", "x", facts())),
        refused(lambda: join(given, "A@2024-01-29", "A", "x", facts())),
        refused(lambda: part(again, "A@2024-01-29", DAY_2, "x", facts())),
        refused(lambda: part(book, "A", DAY_1, "x", facts())),
    ]
    commands = [match for error in said for match in re.findall(r"scizor (symbols .*?)\.?$", error.remedy)]
    assert [command.split()[1] for command in commands] == [
        "remove", "list", "add", "validate", "part", "part", "part"
    ]  # fmt: skip
    for command in commands:
        assert "--market us" in command
        words = shlex.split(command)
        group = typer.main.get_command(app)
        while isinstance(group, click.Group):
            group = group.commands[words.pop(0)]
        group.make_context("x", words).close()
    assert inspect.getsource(symbol_corrections).count("scizor symbols") == 5, "a command that is not tried here"


def test_the_way_out_of_a_history_that_is_another_companys_leads_to_the_join(book):
    """Also where the former ticker had no bars, so that there is nothing to set apart but the name."""
    empty = join(tracked("B", tracked("B OUT"), FEB1 + DAY), "OUT", "B", "x", facts()).outcome.book
    since = empty.identity("B").since
    parted = part(empty, "B", since, "another company", facts(FEB1 + DAY)).outcome.book
    assert parted.identity("B").previous_symbol is None
    assert parted.rows["OUT"].note.endswith("; parted from B by hand on 2024-02-02: another company")
    again = join(parted, "OUT", "B", "after all", facts(FEB1 + DAY)).outcome.book
    assert again.identity("B").previous_symbol == "OUT"


def test_a_join_dates_the_new_ticker_by_its_own_bars_so_that_it_can_be_undone():
    book = tracked("WM", tracked("WM FB"), FEB1 + DAY)
    joined = join(book, "FB", "WM", "was FB", facts(FEB1 + DAY)).outcome.book
    assert joined.identity("WM").since == DAY_2
    error = refused(lambda: join(joined, "FB", "WM", "was FB", facts(FEB1 + DAY)))
    assert (error.problem, error.remedy) == ("FB is the history of WM already.", "There is nothing to join.")


def test_a_ticker_that_another_company_had_begins_with_the_history_that_is_joined_to_it():
    book = tracked("WM", tracked("WM FB"), FEB1 + DAY)
    book = part(book, "WM", DAY_3, "Mutual", facts()).outcome.book
    assert book.identity("WM").bars_from == DAY_3
    assert join(book, "FB", "WM", "was FB", facts()).outcome.book.identity("WM").bars_from == DAY_1


def test_a_history_that_begins_late_keeps_its_first_day_under_the_ticker_that_it_is_joined_to():
    book = part(tracked("FB NEXT"), "FB", DAY_2, "an older FB", facts()).outcome.book
    book = tracked("NEXT", book, FEB1 + DAY)
    assert join(book, "FB", "NEXT", "was FB", facts()).outcome.book.identity("NEXT").bars_from == DAY_2


def test_a_rename_of_a_ticker_is_not_carried_over_again_after_it_was_given_back():
    """The rename was of a company that the ticker never was: a person said so."""
    book = tracked("WM")
    book.identities[0] = replace(book.identities[0], provider_id="", source="files")
    book.rows["WM"] = replace(book.rows["WM"], provider_id="", source="files")
    renamed = replace(facts(FEB1 + DAY, WM=Ending("rename", DAY_3, "WMX")), source="files")
    out = decide(book, {"WM": entry("WM")}, found("WM", by_id=False), renamed)
    (move,) = out.moves
    joined = join(out.book, move.name, "WM", "a wrong list", renamed).outcome.book
    entries = {symbol: entry(symbol) for symbol in ("WM", "WMX")}
    after = decide(joined, entries, found("WM WMX", by_id=False), renamed)
    assert (after.moves, after.carries) == ([], [])
    assert after.book.rows["WM"].tracked


def test_a_source_that_has_changed_forgets_no_ending_since_the_ticker_changed_its_owner():
    """The day of the change of sources settles nothing."""
    owned = Identity("WM", "1", DAY_1, None, DAY_1, None, "", "ibkr", FEB1)
    book = tracked("WM")
    book.identities = [owned]
    changed = replace(facts(FEB1 + DAY, WM=Ending("delisting", DAY_3, None)), source="files", spans={})
    answers = found("WM", by_id=False)
    for _ in range(2):
        book = decide(book, {"WM": entry("WM")}, answers, changed).book
        assert book.rows["WM"].reason is SymbolReason.DELISTED
