"""What a person writes as ranges is what is tried, and what the strategy does not take is refused before it runs."""

import math

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from scizor_dagster.backtest.search.spaces import Interval, Listed, space_of
from scizor_dagster.errors import InputError


class Cross(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    fast: int = Field(20, ge=1)
    slow: int = Field(100, ge=2, le=500)
    share: float = Field(0.5, gt=0, le=1)
    kind: str = "simple"

    @model_validator(mode="after")
    def _ordered(self) -> "Cross":
        if self.fast >= self.slow:
            raise ValueError("fast must be shorter than slow")
        return self


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("n=20:60:20", (20, 40, 60)),
        ("n=20:59:20", (20, 40)),
        ("n=1:3", (1, 2, 3)),
        ("n=7:7:1", (7,)),
        ("x=0.1:0.3:0.1", (0.1, 0.2, 0.3)),
        ("top=5,10,20", (5, 10, 20)),
        ("flag=true,false", (True, False)),
        ("kind = simple, exponential", ("simple", "exponential")),
        ("x=0.5", (0.5,)),
    ],
)
def test_a_list_or_steps_are_the_values_written(text: str, values: tuple):
    (axis,) = space_of([text]).axes
    assert isinstance(axis, Listed)
    assert axis.values == values
    assert [type(value) for value in axis.values] == [type(value) for value in values]


def test_an_interval_has_its_ends_and_its_scale():
    space = space_of(["alpha=0.01..0.1 log", "n=5..7"])
    assert space.axes == (Interval("alpha", 0.01, 0.1, False, True), Interval("n", 5.0, 7.0, True))
    alpha, count = space.axes
    assert isinstance(alpha, Interval)
    assert isinstance(count, Interval)
    assert alpha.at(0.5) == pytest.approx(math.sqrt(0.001))
    assert [count.at((share + 0.5) / 6) for share in range(6)] == [5, 5, 6, 6, 7, 7]
    assert count.at(0.999999) == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fast", "no parameter with its values"),
        ("=3", "no parameter"),
        ("2x=3", "no parameter"),
        ("n=", "no parameter"),
        ("n=9:1:1", "does not rise"),
        ("n=1:9:0", "does not rise"),
        ("n=1:9:-1", "does not rise"),
        ("n=1:2:3:4", "FROM:TO:STEP"),
        ("n=1:x:3", "'x' of 'n=1:x:3' is not a number"),
        ("n=1..inf", "not a finite number"),
        ("n=5..5", "does not rise"),
        ("n=0..5 log", "above 0"),
        ("n=1,2 log", "without an interval"),
        ("n=1,,2", "empty value"),
        ("n=1,1", "twice"),
        ("n=0:1:0.000001", "1,000,001 values"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_is_wrong_and_how_to_write_it(text: str, words: str):
    with pytest.raises(InputError) as error:
        space_of([text])
    assert words in str(error.value)
    assert error.value.where == text


def test_a_parameter_named_twice_is_refused():
    with pytest.raises(InputError, match="given twice"):
        space_of(["n=1,2", "n=3"])


def test_a_grid_has_every_set_and_any_numbers_have_none():
    space = space_of(["a=1,2", "b=5..6"])
    assert space.size() == 4
    assert list(space.grid()) == [{"a": 1, "b": 5}, {"a": 1, "b": 6}, {"a": 2, "b": 5}, {"a": 2, "b": 6}]
    endless = space_of(["a=0.1..0.2"])
    assert endless.size() == math.inf
    with pytest.raises(InputError, match="no grid can try"):
        list(endless.grid())


def test_a_strategys_model_names_its_parameters_and_bounds_them():
    with pytest.raises(InputError, match="Did you mean slow"):
        space_of(["slov=1,2"], Cross)
    with pytest.raises(InputError, match="parameters are: fast, slow, share, kind"):
        space_of(["xyz=1,2"], Cross)
    with pytest.raises(InputError, match="slow does not take 600"):
        space_of(["slow=500:600:100"], Cross)
    with pytest.raises(InputError, match="fast does not take"):
        space_of(["fast=2.5,3"], Cross)
    with pytest.raises(InputError, match="share does not take 2"):
        space_of(["share=0.5..2"], Cross)


def test_whole_ends_of_a_parameter_of_any_numbers_mean_any_number_and_its_values_are_floats():
    space = space_of(["share=1,0.5", "slow=100..200"], Cross)
    assert space.axes[0] == Listed("share", (1.0, 0.5))
    assert isinstance(space.axes[0].values[0], float)
    assert space.axes[1] == Interval("slow", 100.0, 200.0, True)

    class Wide(BaseModel):
        share: float = 1.0

    assert space_of(["share=1..5"], Wide).axes == (Interval("share", 1.0, 5.0, False),)


def test_a_set_that_the_strategy_does_not_take_has_a_sentence():
    space = space_of(["fast=10,200", "slow=100"], Cross)
    assert space.refusal is not None
    assert space.refusal({"fast": 10, "slow": 100}) is None
    assert "fast must be shorter than slow" in str(space.refusal({"fast": 200, "slow": 100}))
    assert space_of(["fast=1"]).refusal is None
