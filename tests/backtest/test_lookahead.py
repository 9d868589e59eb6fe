"""Strategies that know the future are found, with session, symbol and row; the shipped ones know nothing of it."""

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.backtest.lookahead import check_lookahead
from scizor_dagster.strategies.definition import definition_of
from scizor_dagster.strategies.protocol import Parameters
from scizor_dagster.strategies.registry import Registry
from tests.strategies.markets import random_history
from tests.strategies.test_shipped import SHORT

HISTORY = random_history(4, sessions=70, strange=False)
SYMBOLS = [item.symbol for item in HISTORY.instruments]
FRAME = pd.DataFrame(HISTORY.close, index=pd.to_datetime(HISTORY.sessions), columns=SYMBOLS)
LONG = FRAME.rename_axis(index="day").reset_index().melt("day", var_name="symbol", value_name="close")
ARRAY = HISTORY.close.copy()
BY_DATE = {day: dict(zip(SYMBOLS, row, strict=True)) for day, row in zip(HISTORY.sessions, HISTORY.close, strict=True)}
SHIFTED = FRAME.pct_change().shift(-1)


def best(returns, index=None):
    return {str(pd.Series(returns, index=index).idxmax()): 1.0}


def tomorrow_of_a_frame(prices):
    row = FRAME.index.get_loc(pd.Timestamp(prices.last))
    return best(FRAME.iloc[row + 1] / FRAME.iloc[row])


def shifted_inside(prices):
    return best(FRAME.pct_change().shift(-1).loc[pd.Timestamp(prices.last)])


def normalised_by_the_whole_sample(prices):
    z = (FRAME - FRAME.mean()) / FRAME.std()
    return best(-z.loc[pd.Timestamp(prices.last)])


def filled_from_behind(prices):
    holes = FRAME.copy()
    holes.loc[holes.index <= pd.Timestamp(prices.last)] = np.nan
    return best(holes.bfill().iloc[0])


def a_long_frame(prices):
    later = LONG[LONG["day"] > pd.Timestamp(prices.last)]
    return best(later.groupby("symbol")["close"].first())


def an_array_by_position(prices):
    row = HISTORY.sessions.index(prices.last)
    return best(ARRAY[row + 3] / ARRAY[row], SYMBOLS)


def a_mapping_by_date(prices):
    day = min(day for day in BY_DATE if day > prices.last)
    return best(pd.Series(BY_DATE[day]) / pd.Series(BY_DATE[prices.last]))


def the_history_itself(prices):
    return best(HISTORY.close[-1], SYMBOLS)


def by_a_helper(prices):
    return tomorrow_of_a_frame(prices)


def by_default(prices, *, frame=FRAME):
    return best(frame.loc[frame.index > pd.Timestamp(prices.last)].iloc[0])


def in_a_default(prices, frame=FRAME):
    return best(frame.loc[frame.index > pd.Timestamp(prices.last)].iloc[0])


class OfAClass:
    frame = FRAME

    def weights(self, prices):
        return best(self.frame.loc[self.frame.index > pd.Timestamp(prices.last)].iloc[0])


def closing_over():
    frame = FRAME.copy()

    def weights(prices):
        return best(frame.iloc[len(prices)])

    return weights


CHEATS = [
    tomorrow_of_a_frame,
    shifted_inside,
    normalised_by_the_whole_sample,
    filled_from_behind,
    a_long_frame,
    an_array_by_position,
    a_mapping_by_date,
    the_history_itself,
    by_a_helper,
    in_a_default,
    OfAClass,
    closing_over(),
]


def found_in(made, rebalance="daily", **options):
    return check_lookahead(HISTORY, definition_of(made, "tried", "file").configured({}, rebalance), **options)


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda item: item.__qualname__.partition(".")[0])
def test_a_strategy_that_reads_data_of_the_future_is_found(cheat):
    (finding,) = found_in(cheat, at=4)
    assert finding.proven
    assert finding.form == "weights"
    assert finding.session == HISTORY.sessions[0] or cheat is normalised_by_the_whole_sample
    assert finding.future is None or finding.future > finding.session


def test_the_first_decision_its_symbol_both_weights_and_the_row_are_named():
    """From the 40th session on it holds what will have risen most two sessions later."""

    def weights(prices):
        row = len(prices) - 1
        return {"S00": 1.0} if row < 40 else best(ARRAY[row + 2] / ARRAY[row], SYMBOLS)

    (finding,) = found_in(weights, at=5)
    row = HISTORY.sessions.index(finding.session)
    assert 40 <= row <= 42
    assert finding.future == HISTORY.sessions[row + 2]
    assert finding.symbol in SYMBOLS
    assert finding.before != finding.after
    assert str(finding.session) in str(finding)
    assert str(finding.future) in str(finding)


def test_data_that_was_computed_before_is_found_and_called_unproven():
    def weights(prices):
        return best(SHIFTED.loc[pd.Timestamp(prices.last)].fillna(0.0))

    (finding,) = found_in(weights, at=4)
    assert not finding.proven
    assert "SHIFTED" in str(finding)
    assert "goes on after the decision" in str(finding)


def test_a_strategy_that_fails_without_the_future_is_found():
    def weights(prices):
        FRAME.loc[FRAME.index > pd.Timestamp(prices.last)].iloc[0]
        return {"S00": 1.0}

    (finding,) = found_in(weights, at=3)
    assert (finding.symbol, finding.how) == ("", "removed")
    assert "IndexError" in str(finding)


def test_data_that_the_check_altered_is_as_it_was_afterwards():
    before = FRAME.copy()
    found_in(tomorrow_of_a_frame, at=3)
    pd.testing.assert_frame_equal(FRAME, before)
    assert OfAClass.frame is FRAME
    assert in_a_default.__defaults__[0] is FRAME
    assert pd.read_csv.__name__ == "read_csv"


def vectorised(form):
    class Both:
        def weights(self, prices, parameters: Parameters):
            return dict.fromkeys(prices.symbols, 1 / len(prices.symbols))

        weights_over = staticmethod(form)

    return Both


def whole_sample(panel, rows, parameters):
    z = panel.adjusted / panel.adjusted.mean(axis=0)
    return z[rows] / z[rows].sum(axis=1, keepdims=True)


def one_row_late(panel, rows, parameters):
    rows = np.minimum(rows + 1, len(panel.adjusted) - 1)
    return panel.adjusted[rows] / panel.adjusted[rows].sum(axis=1, keepdims=True)


@pytest.mark.parametrize("form", [whole_sample, one_row_late])
def test_a_vectorised_form_that_reaches_into_later_rows_is_found(form):
    findings = found_in(vectorised(form), at=4)
    assert [(item.form, item.proven) for item in findings] == [("weights_over", True)] * 2
    assert findings[0].future == HISTORY.sessions[1]
    assert findings[1].how == "agreement"


def test_forms_that_differ_are_found():
    (finding,) = found_in(vectorised(lambda panel, rows, parameters: np.zeros((len(rows), 6))), at=4)
    assert str(finding).startswith("weights and weights_over differ in the weight of S00 on the close of 2024-01-02")


@pytest.mark.parametrize("name", SHORT)
def test_the_shipped_strategies_know_nothing_of_the_future(name):
    history = random_history(8, sessions=60)
    assert check_lookahead(history, Registry().find(name).configured(SHORT[name], "weekly"), at=5) == []


def test_a_name_that_was_never_given_anything_is_passed_over():
    def weights(prices):
        return later() if len(prices) < 0 else {"S00": 1.0}

    if len(SYMBOLS) < 0:
        later = weights
    assert found_in(weights, at=3) == []


def test_a_strategy_with_constants_and_its_own_past_is_clean():
    shares = {"S00": 0.6, "S01": 0.4}

    def weights(prices):
        return shares if prices.closes()[-1].sum() > prices.closes()[0].sum() else {}

    assert found_in(weights, at=6) == []


FILE = """
import pandas as pd
FRAME = pd.read_csv({path!r}, index_col=0, parse_dates=True)
{computed}

def weights(prices):
    return {answer}
"""


@pytest.mark.parametrize(
    ("computed", "answer"),
    [
        ("NEXT = FRAME.pct_change().shift(-1).fillna(0.0)", "{NEXT.loc[str(prices.last)].idxmax(): 1.0}"),
        ("MEAN = FRAME.mean()", "{(FRAME.loc[str(prices.last)] / MEAN).idxmin(): 1.0}"),
        ("MEAN = float(FRAME.iloc[:, 0].mean())", "{'S00': 1.0} if prices.closes()[-1, 0] < MEAN else {'S01': 1.0}"),
    ],
)
def test_a_file_that_computes_from_the_whole_sample_when_it_is_loaded_is_found(tmp_path, computed, answer):
    FRAME.to_csv(tmp_path / "prices.csv")
    text = FILE.format(path=str(tmp_path / "prices.csv"), computed=computed, answer=answer)
    (tmp_path / "cheat.py").write_text(text)
    (finding,) = check_lookahead(HISTORY, Registry(tmp_path).find("cheat").configured(), at=6)
    assert finding.proven


def test_a_file_that_reads_prices_while_it_decides_is_found(tmp_path):
    FRAME.to_csv(tmp_path / "prices.csv")
    (tmp_path / "cheat.py").write_text(
        f"import pandas as pd\n\ndef weights(prices):\n"
        f"    frame = pd.read_csv({str(tmp_path / 'prices.csv')!r}, index_col=0, parse_dates=True)\n"
        f"    return {{frame[frame.index > str(prices.last)].iloc[0].idxmax(): 1.0}}\n"
    )
    (finding,) = check_lookahead(HISTORY, Registry(tmp_path).find("cheat").configured(), at=3)
    assert finding.proven
    assert finding.future == HISTORY.sessions[1]


def test_decisions_of_other_sessions_than_those_asked_for_are_not_looked_at():
    late, sessions = HISTORY.sessions[40], HISTORY.sessions

    def weights(prices):
        return tomorrow_of_a_frame(prices) if prices.last >= late else {}

    chosen = definition_of(weights, "late", "file", "").configured()
    assert check_lookahead(HISTORY, chosen, last=late) == []
    (finding,) = check_lookahead(HISTORY, chosen, first=sessions[30])
    assert finding.session == late
    # What is after the last session asked for is altered all the same.
    (finding,) = check_lookahead(HISTORY, chosen, first=sessions[41], last=sessions[41])
    assert (finding.session, finding.future) == (late, sessions[41])


def test_a_history_without_a_decision_has_no_finding():
    assert check_lookahead(random_history(1, sessions=1), Registry().find("equal_weight").configured()) == []
