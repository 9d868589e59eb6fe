"""Histories of frames, and a whole backtest from a notebook, as the documentation shows it."""

import re
import textwrap

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.backtest.history_frames import history_of_frame
from scizor_dagster.errors import InputError

DAYS = pd.bdate_range("2024-01-02", periods=4)
CLOSE = pd.DataFrame({"B": [1.0, 2.0, np.nan, 4.0], "A": 5.0}, index=DAYS)


def test_columns_are_in_the_order_of_their_symbols_and_other_prices_with_them():
    history = history_of_frame(CLOSE, kind="split", open=CLOSE * 2)
    assert [item.symbol for item in history.instruments] == ["A", "B"]
    np.testing.assert_array_equal(history.close[:, 1], CLOSE["B"])
    np.testing.assert_array_equal(history.open[:, 0], 10.0)
    assert (history.sessions[0], history.adjustment, history.volume) == (DAYS[0].date(), "split", None)


@pytest.mark.parametrize(
    ("frame", "more", "told"),
    [
        (CLOSE.rename(columns={"A": "a"}), {}, "'a' is not a ticker"),
        (CLOSE[::-1], {}, "not of ascending dates"),
        (CLOSE.set_axis(["x", "y", "z", "w"]), {}, "holds no dates"),
        (CLOSE, {"open": CLOSE[["B"]]}, "frame of open has other rows or columns"),
        (CLOSE, {"vwap": CLOSE}, "no prices called vwap"),
        (CLOSE, {"volume": CLOSE.replace(4.0, np.inf)}, "volume of B on 2024-01-05 is inf"),
        (CLOSE, {"volume": CLOSE.replace(5.0, -1.0)}, "volume of A on 2024-01-02 is -1.0"),
    ],
)
def test_frames_that_mean_nothing_certain_are_refused(frame, more, told):
    with pytest.raises(InputError, match=told):
        history_of_frame(frame, **more)


def test_the_notebook_of_the_documentation_runs(project_root, monkeypatch):
    monkeypatch.setenv("SCIZOR_KERNEL", "python")
    text = (project_root / "docs" / "backtests.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    days = pd.bdate_range("2024-01-02", periods=60)
    closes = pd.DataFrame({"AAPL": np.linspace(100, 120, 60), "MSFT": np.linspace(50, 45, 60)}, index=days)
    names: dict[str, object] = {
        "closes": closes,
        "weights": pd.DataFrame({"AAPL": 0.5, "MSFT": 0.4}, index=days[5::20]),
    }
    exec(compile(textwrap.dedent(code), "docs/backtests.md", "exec"), names)
    frames = names["frames"]
    assert frames.figures["total_return"] == pytest.approx(frames.equity["equity"].iloc[-1] / 100_000 - 1)
    assert len(frames.trades) == 6
