"""The page as bytes: whole in itself, the same for the same facts, and deaf to whatever its texts say."""

import re
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from scizor_dagster.analytics.report.facts import ReportFacts
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
