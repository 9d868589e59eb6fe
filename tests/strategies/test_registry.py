"""Finding strategies: shipped ones, packages and files; one that is broken stops no other."""

import importlib.metadata
import sys

import pytest

from scizor_dagster.errors import ConfigError
from scizor_dagster.strategies.registry import SHIPPED, Registry

GOOD = '''
from typing import Annotated
from pydantic import Field
from scizor_dagster.strategies.prices import Prices
from scizor_dagster.strategies.protocol import Parameters


class P(Parameters):
    top: Annotated[int, Field(ge=1)] = 3


def weights(prices: Prices, parameters: P) -> dict[str, float]:
    """Holds the first few.

    And more.
    """
    return {}
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "good.py").write_text(GOOD)
    return tmp_path


def test_the_shipped_strategies_are_there_without_a_folder():
    assert Registry().names() == SHIPPED
    assert all(item.definition is not None and item.definition.summary for item in Registry().listed())


def test_listing_names_imports_nothing(folder):
    (folder / "loud.py").write_text("raise SystemExit('imported')")
    before = {name for name in sys.modules if ".shipped." in name}
    assert {"good", "loud", "momentum"} <= set(Registry(folder).names())
    assert {name for name in sys.modules if ".shipped." in name} == before


def test_a_file_is_a_strategy_called_as_the_file(folder):
    found = Registry(folder).find("good")
    assert (found.name, found.origin, found.summary) == ("good", "file", "Holds the first few.")
    assert found.where == f"{folder / 'good.py'}:12"
    assert found.configured({"top": 5}).parameters_text == '{"top":5}'


def test_a_class_of_a_file_is_a_strategy(folder):
    (folder / "kept.py").write_text("class Kept:\n    def weights(self, prices):\n        return {}\n")
    assert Registry(folder).find("kept").configured().parameters_text == "{}"


@pytest.mark.parametrize(
    ("text", "line", "named"),
    [
        ("def weights(prices):\n    return {\n", 2, "SyntaxError"),
        ("import os\n\nimport not_there_at_all\n", 3, "ModuleNotFoundError"),
        ("x = 1\nraise SystemExit(3)\n", 2, "SystemExit"),
    ],
)
def test_a_broken_file_is_named_with_its_line_and_stops_no_other(folder, text, line, named):
    (folder / "broken.py").write_text(text)
    registry = Registry(folder)
    with pytest.raises(ConfigError) as refused:
        registry.find("broken")
    assert str(refused.value).startswith(f"{folder / 'broken.py'}:{line}: ")
    assert named in str(refused.value)
    listed = {item.name: item for item in registry.listed()}
    assert listed["good"].definition is not None
    assert named in listed["broken"].problem


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("x = 1\n", "no function 'weights' and no classes"),
        ("class A:\n    def weights(self, p): ...\nclass B(A): ...\n", r"2 classes with a method 'weights' \(A, B\)"),
        ("def weights(prices, parameters: dict):\n    return {}\n", "does not say what its parameters are"),
        ("def weights(prices, parameters: 'Gone'):\n    return {}\n", "cannot be resolved"),
        ("def weights(a, b, c):\n    return {}\n", "does not say what its parameters are"),
        ("from pandas import DataFrame as weights\n", "no function 'weights'"),
    ],
)
def test_a_file_without_a_strategy_says_what_is_missing(folder, text, named):
    (folder / "odd.py").write_text(text)
    with pytest.raises(ConfigError, match=named) as refused:
        Registry(folder).find("odd")
    assert str(folder / "odd.py") in str(refused.value)


def test_a_name_that_is_taken_is_refused_for_both_and_for_nothing_else(folder):
    (folder / "momentum.py").write_text(GOOD)
    with pytest.raises(ConfigError, match="'momentum' is taken more than once: shipped with Scizor, file"):
        Registry(folder).find("momentum")
    assert Registry(folder).find("equal_weight").origin == "shipped"


def test_a_name_that_no_command_could_take_is_refused(folder):
    (folder / "My-Idea.py").write_text(GOOD)
    with pytest.raises(ConfigError, match="'My-Idea' is no name"):
        Registry(folder).find("My-Idea")


def test_an_unknown_name_lists_the_known_ones(folder):
    with pytest.raises(ConfigError, match=r"buy_and_hold.*good"):
        Registry(folder).find("godo")


def test_helpers_and_unreadable_files(folder):
    (folder / "_helper.py").write_text("raise ValueError")
    (folder / "latin.py").write_bytes(b"# caf\xe9\n")
    assert "_helper" not in Registry(folder).names()
    with pytest.raises(ConfigError, match="cannot be read"):
        Registry(folder).find("latin")


def test_a_file_that_changes_is_another_version_at_once(folder):
    registry = Registry(folder)
    first = registry.find("good").configured()
    assert registry.find("good").configured().version == first.version
    assert registry.find("good").configured({"top": 4}).version != first.version
    assert first.with_rebalance("weekly").version != first.version
    (folder / "good.py").write_text(GOOD.replace("return {}", "return {'A': 1.0}"))
    changed = registry.find("good").configured()
    assert changed.version != first.version
    assert changed.definition.make()(None, changed.parameters) == {"A": 1.0}
    (folder / "good.py").write_text("syntax error")
    with pytest.raises(ConfigError):
        registry.find("good")
    (folder / "good.py").write_text(GOOD)
    assert registry.find("good").configured().version == first.version


def test_the_version_of_a_shipped_strategy_is_of_all_the_modules_it_is_made_of():
    source = Registry().find("risk_parity").source
    assert "def shrunk_covariance" in source
    assert "def chosen_closes" in source
    assert "class Momentum" not in source


def test_an_entry_point_of_a_package_is_a_strategy(monkeypatch, tmp_path):
    (tmp_path / "theirs_pkg.py").write_text(GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    entries = [
        importlib.metadata.EntryPoint("theirs", "theirs_pkg:weights", "scizor.strategies"),
        importlib.metadata.EntryPoint("absent", "theirs_gone:weights", "scizor.strategies"),
        importlib.metadata.EntryPoint("number", "theirs_pkg:__name__", "scizor.strategies"),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [e for e in entries if e.group == group])
    registry = Registry()
    found = registry.find("theirs")
    assert (found.origin, found.parameters.__name__) == ("package", "P")
    assert "class P" in found.source
    with pytest.raises(ConfigError, match="'absent' of an installed package cannot be imported"):
        registry.find("absent")
    with pytest.raises(ConfigError, match="'number' is str, no function"):
        registry.find("number")


@pytest.mark.parametrize("answer", ["0", "'all'", "2.5"])
def test_a_window_that_is_no_number_of_sessions_is_refused(folder, answer):
    (folder / "odd.py").write_text(GOOD.replace("= 3\n", f"= 3\n\n    def window(self):\n        return {answer}\n"))
    with pytest.raises(ConfigError, match="asks for a window of"):
        _ = Registry(folder).find("odd").configured().window


def test_parameters_that_change_keep_the_others():
    chosen = Registry().find("momentum").configured({"top": 5}, "monthly").with_parameters({"skip": 0})
    assert (chosen.parameters.top, chosen.parameters.skip, chosen.rebalance) == (5, 0, "monthly")
