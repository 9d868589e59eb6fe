"""docs/strategies.md: its example is a strategy, and its names are those that there are."""

import re

from scizor_dagster.backtest.lookahead import check_lookahead
from scizor_dagster.strategies.deciding import strategy_schedule
from scizor_dagster.strategies.registry import SHIPPED, Registry
from tests.strategies.markets import random_history


def test_the_example_of_the_docs_runs_and_knows_nothing_of_the_future(project_root, tmp_path):
    text = (project_root / "docs" / "strategies.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "rising.py").write_text(example)
    chosen = Registry(tmp_path).find("rising").configured({"lookback": 20}, "weekly")
    history = random_history(3)
    assert strategy_schedule(chosen, history).weights.sum() > 1.0
    assert check_lookahead(history, chosen, at=3) == []


def test_every_shipped_strategy_is_in_the_docs(project_root):
    text = (project_root / "docs" / "strategies.md").read_text(encoding="utf-8")
    assert {name for name in SHIPPED if f"| `{name}` |" in text} == set(SHIPPED)
