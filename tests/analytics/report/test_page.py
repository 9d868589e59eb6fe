"""The page as bytes: whole in itself, the same for the same facts, and deaf to whatever its texts say."""

import re
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from scizor_dagster.analytics.report.facts import ReportFacts
from scizor_dagster.analytics.report.model import Chart, Table, table
from scizor_dagster.analytics.report.page import POLICY, TEMPLATES, page_of, render
from tests.analytics.report.samples import ATTACK, QUIET, RECONCILED, broken, hostile, measured

ORDER = ["verdict", "decided", "done", "broken", "earned", "paid", "positions", "quality", "provenance"]
REFERENCES = {"src", "srcset", "href", "xlink:href", "action", "data", "poster", "background"}


class Tags(HTMLParser):
    """Every tag with its attributes, and the texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def html_of(facts: ReportFacts) -> str:
    return render(page_of(facts))


FACTS = {"quiet": QUIET, "broken": broken(), "hostile": hostile()}


@pytest.mark.parametrize("name", FACTS)
def test_nothing_on_the_page_comes_from_elsewhere_or_runs(name: str) -> None:
    tags = Tags(html_of(FACTS[name])).tags
    assert {tag for tag, _ in tags} & {"script", "iframe", "object", "embed", "img", "form", "base"} == set()
    for tag, attributes in tags:
        assert not [key for key in attributes if key.startswith("on")], tag
        for key in REFERENCES & set(attributes):
            assert (attributes[key] or "").startswith(("#", "data:")), (tag, attributes)
        assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", " ".join(value or "" for value in attributes.values())), tag
    policies = [attributes["content"] for tag, attributes in tags if attributes.get("http-equiv")]
    assert policies == [POLICY]
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|@font-face|[<>&]", style)


def test_words_of_files_and_brokers_are_text_and_nothing_else() -> None:
    page = html_of(hostile())
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    shown = "".join(Tags(page).texts)
    # Portfolio, strategy, symbols, files, the broker's reason, breaks, notes, data.
    assert shown.count(ATTACK) > 30


def test_the_same_facts_are_the_same_bytes_and_other_facts_are_not() -> None:
    assert html_of(QUIET) == html_of(replace(QUIET, measured=measured()))
    assert html_of(QUIET) != html_of(replace(QUIET, measured=measured(60)))


def test_ids_are_unique_and_what_points_at_one_finds_it() -> None:
    page = html_of(QUIET)
    ids = [attributes["id"] for _, attributes in Tags(page).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([\w.-]+)', page)) <= set(ids)
    named = [attributes["aria-labelledby"] for _, attributes in Tags(page).tags if "aria-labelledby" in attributes]
    assert {name for names in named for name in (names or "").split()} <= set(ids)


def test_each_chart_says_in_words_what_it_shows() -> None:
    page = html_of(QUIET)
    assert page.count('role="img"') == page.count("<desc ") == page.count("<title id=") == 2
    assert "Equity in USD from 2024-12-0" in page
    assert "to 2025-03-10 (" in page


@pytest.mark.parametrize("name", FACTS)
def test_sections_come_in_the_order_in_which_a_person_asks(name: str) -> None:
    assert [section.key for section in page_of(FACTS[name]).sections] == ORDER


def test_a_name_that_is_no_text_is_written_all_the_same() -> None:
    odd = replace(QUIET, portfolio="\udcff")
    assert b"?" in html_of(odd).encode("utf-8", "replace")


def test_templates_are_in_the_package_that_is_installed(project_root: Path) -> None:
    settings = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["scizor_dagster"]
    package = project_root / "scizor_dagster"
    shipped = {path for pattern in patterns for path in package.glob(pattern)}
    assert {path for path in TEMPLATES.iterdir() if path.is_file()} <= shipped


def test_a_session_without_anything_measured_has_a_page_without_a_chart() -> None:
    page = html_of(replace(QUIET, measured=measured(0), reconciled=replace(RECONCILED, passes=(), positions=())))
    assert "<svg" not in page
    assert "Nothing is measured yet" in page


def test_every_table_of_money_names_its_currency_and_every_axis_its_unit() -> None:
    blocks = [block for section in page_of(broken()).sections for block in section.blocks]
    tables = {block.title: block.unit for block in blocks if isinstance(block, Table)}
    assert {title for title, unit in tables.items() if unit == "USD"} == {
        "Orders of the plan", "Orders", "Executions", "Returns and profits", "Profit by instrument",
        "Profit by sector", "Profit by strategy", "Implementation shortfall", "The orders that cost the most",
        "Positions at the end",
    }  # fmt: skip
    assert set(tables.values()) == {"USD", ""}
    assert html_of(broken()).count('<span class="unit">in USD</span>') == 10
    axes = {block.key: re.findall(r">(USD|%|% a year|ratio)</text>", block.svg) for block in blocks
            if isinstance(block, Chart)}  # fmt: skip
    assert axes == {"equity": ["USD", "%"], "rolling": ["% a year", "ratio"]}


def test_a_column_in_which_nothing_is_said_is_left_out_where_that_is_asked_for() -> None:
    rows = [("a", "", "1"), ("b", "", "")]
    assert [one.name for one in table("t", ("x", "y", "#z"), rows).columns] == ["x", "y", "z"]
    sparse = table("t", ("x", "y", "#z"), rows, sparse=True)
    assert [(one.name, one.numeric) for one in sparse.columns] == [("x", False), ("z", True)]
    assert [[cell.text for cell in row] for row in sparse.rows] == [["a", "1"], ["b", ""]]


def test_every_text_stands_out_from_what_is_behind_it_in_the_light_and_in_the_dark() -> None:
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    schemes = [dict(re.findall(r"--(\w+): (#\w{6})", one)) for one in re.findall(r":root \{(.*?)\}", style, re.DOTALL)]
    assert len(schemes) == 3
    for colours in schemes:
        for name in ("ink", "faint", "good", "warn", "bad", "line"):
            for behind in ("paper", "card"):
                # What WCAG 2 asks for of a text of any size (AA).
                assert contrast(colours[name], colours[behind]) >= 4.5, (name, behind, colours)


def contrast(one: str, other: str) -> float:
    """Ratio of the relative luminances of two colours, from 1 to 21; WCAG 2.2, definition of contrast ratio."""
    low, high = sorted(luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
