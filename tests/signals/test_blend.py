"""Several strategies as one: netting, ensembles, overlays, and the law that attribution sums to the target."""

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from scizor_dagster.config import MemberStrategy, Overlay, SignalChoice
from scizor_dagster.signals.arithmetic import decimal_of, plain_text
from scizor_dagster.signals.blend import combine
from scizor_dagster.signals.identity import ResolvedRow
from scizor_dagster.signals.overlays import apply_overlays
from scizor_dagster.signals.targets import TargetStatus, TargetWeight, TargetWeights, exact_sum

Weights = Mapping[str, Mapping[str, float]]
SECTORS = {"A": "tech", "B": "tech", "C": "energy", "D": ""}
STEP = Decimal("1e-20")


def row(strategy: str, symbol: str, weight: float, line: int = 2, **changes: object) -> ResolvedRow:
    stated = decimal_of(weight)
    found = {"status": TargetStatus.OK, "note": "", "candidates": ()} | changes
    name = f"{symbol}.XNAS" if symbol else ""
    return ResolvedRow(symbol, name, stated, strategy, f"id-{symbol}", line, "f" * 64, stated, **found)  # type: ignore[arg-type]


def rows(weights: Weights) -> dict[str, list[ResolvedRow]]:
    return {
        strategy: [row(strategy, symbol, weight, line) for line, (symbol, weight) in enumerate(held.items(), start=2)]
        for strategy, held in weights.items()
    }


def blend(*overlays: dict[str, object], **capital: float) -> SignalChoice:
    strategies = [{"id": name, "capital": share} for name, share in capital.items()]
    return SignalChoice.model_validate({"mode": "blend", "strategies": tuple(strategies), "overlays": overlays})


def ensemble(rule: str, *names: str) -> SignalChoice:
    return SignalChoice.model_validate({"mode": "ensemble", "strategies": names, "combine": rule})


def made(weights: Weights, choice: SignalChoice) -> tuple[TargetWeight, ...]:
    return apply_overlays(combine(rows(weights), choice), choice.overlays, SECTORS)[0]


def by_symbol(targets: tuple[TargetWeight, ...]) -> dict[str, str]:
    return {target.symbol: plain_text(target.target_weight) for target in targets}


def test_a_blend_is_the_sum_of_capital_times_weight_with_each_line_s_part_in_it() -> None:
    targets = made({"a": {"A": 0.5, "B": 0.1}, "b": {"A": 0.25, "C": 1.0}}, blend(a=0.6, b=0.4))
    assert by_symbol(targets) == {"A": "0.4", "B": "0.06", "C": "0.4"}
    assert [
        (item.strategy, item.line, str(item.weight_stated), plain_text(item.contribution))
        for item in targets[0].contributions
    ] == [("a", 2, "0.5", "0.3"), ("b", 2, "0.25", "0.1")]
    assert TargetWeights(targets).by_strategy == {"a": Decimal("0.36"), "b": Decimal("0.5")}


def test_opposite_signs_net_to_a_target_of_zero_that_keeps_both_lines() -> None:
    targets = made({"a": {"A": 0.2}, "b": {"A": -0.3}}, blend(a=0.6, b=0.4))
    assert by_symbol(targets) == {"A": "0"}
    assert targets[0].status == "ok"
    assert [item.contribution for item in targets[0].contributions] == [Decimal("0.12"), Decimal("-0.12")]


def test_the_order_of_the_configuration_changes_no_target() -> None:
    weights = {"a": {"A": 0.2, "B": 0.3}, "b": {"B": 0.3}}
    one = {target.symbol: target for target in made(weights, blend(a=0.6, b=0.4))}
    other = {target.symbol: target for target in made(weights, blend(b=0.4, a=0.6))}
    assert one == other


def test_the_mean_counts_a_missing_instrument_as_zero() -> None:
    targets = made({"a": {"A": 0.1}, "b": {"A": 0.1, "B": 0.3}, "c": {"A": 0.1}}, ensemble("mean", "a", "b", "c"))
    assert by_symbol(targets) == {"A": "0.1", "B": "0.1"}
    assert exact_sum(item.contribution for item in targets[0].contributions) == Decimal("0.1")


def test_the_median_belongs_to_the_strategy_in_the_middle_or_half_and_half_to_two() -> None:
    weights = {"a": {"A": 0.1, "B": 0.4}, "b": {"A": 0.3, "C": 0.2}, "c": {"A": 0.2, "B": 0.2, "C": 0.1}}
    targets = made(weights, ensemble("median", "a", "b", "c"))
    assert by_symbol(targets) == {"A": "0.2", "B": "0.2", "C": "0.1"}
    assert [(item.strategy, str(item.contribution)) for item in targets[0].contributions if item.contribution] == [
        ("c", "0.2")
    ]
    assert len(targets[0].contributions) == 3
    halves = made({name: weights[name] for name in ("a", "b")}, ensemble("median", "a", "b"))
    assert by_symbol(halves) == {"A": "0.2", "B": "0.2", "C": "0.1"}
    assert [plain_text(item.contribution) for item in halves[0].contributions] == ["0.05", "0.15"]


def test_an_instrument_that_another_strategy_s_doubtful_id_may_mean_is_set_aside() -> None:
    doubtful = row("a", "", 0.1, status=TargetStatus.AMBIGUOUS_ID, candidates=("A", "B"), note="it may be A or B")
    targets = combine({"a": [doubtful], "b": [row("b", "A", 0.2), row("b", "C", 0.2)]}, blend(a=0.5, b=0.5))
    assert [(target.symbol, target.status) for target in targets] == [
        ("", "ambiguous_id"),
        ("A", "ambiguous_id"),
        ("C", "ok"),
    ]
    assert "'id-' of a may be A as well" in targets[1].note


def test_an_instrument_that_one_strategy_may_not_trade_is_set_aside_whole() -> None:
    barred = row("a", "A", 0.1, status=TargetStatus.QUARANTINED, note="it is on the blacklist")
    (target,) = combine({"a": [barred], "b": [row("b", "A", 0.2)]}, blend(a=0.5, b=0.5))
    assert (target.status, target.target_weight, target.note) == (
        "quarantined",
        Decimal("0.15"),
        "it is on the blacklist",
    )


@pytest.mark.parametrize(
    ("overlay", "gives"),
    [
        ({"scale_to_gross": 0.5}, {"A": "0.2", "B": "-0.1", "C": "0.2"}),
        ({"scale_to_gross": 2.0}, {"A": "0.4", "B": "-0.2", "C": "0.4"}),
        ({"scale_to_gross": 2.0, "up": True}, {"A": "0.8", "B": "-0.4", "C": "0.8"}),
        ({"cap_per_name": 0.15}, {"A": "0.15", "B": "-0.15", "C": "0.15"}),
        ({"cap_per_sector": 0.3}, {"A": "0.2", "B": "-0.1", "C": "0.3"}),
        ({"long_only": True}, {"A": "0.4", "B": "0", "C": "0.4"}),
    ],
)
def test_an_overlay_changes_the_targets_and_says_so(overlay: dict[str, object], gives: dict[str, str]) -> None:
    combined = combine(rows({"a": {"A": 0.4, "B": -0.2, "C": 0.4}}), SignalChoice(strategy="a"))
    targets, sentences = apply_overlays(combined, [Overlay.model_validate(overlay)], SECTORS)
    assert by_symbol(targets) == gives
    changed = [new for old, new in zip(combined, targets, strict=True) if old.target_weight != new.target_weight]
    assert all(f"{next(iter(overlay))}" in target.note and "becomes" in target.note for target in changed)
    assert len(sentences) == (1 if changed else 0)


def test_the_overlays_that_the_documentation_shows_keep_their_own_caps(project_root: Path) -> None:
    text = (project_root / "docs" / "consolidation.md").read_text(encoding="utf-8")
    (block,) = (part for part in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "overlays:" in part)
    signals = yaml.safe_load(block)["portfolios"]["main"]["signals"]
    signals |= {name: tuple(signals[name]) for name in ("strategies", "overlays")}
    choice = SignalChoice.model_validate(signals, strict=True)
    first, second = choice.ids
    sectors = {f"T{number}": "tech" if number < 6 else f"s{number}" for number in range(12)}
    weights = {first: dict.fromkeys(sectors, 0.06), second: {"T0": 0.3, "T7": 0.2}}
    targets, _ = apply_overlays(combine(rows(weights), choice), choice.overlays, sectors)
    held = {target.symbol: float(target.target_weight) for target in targets}
    assert max(held.values()) == pytest.approx(0.1)
    assert sum(weight for name, weight in held.items() if sectors[name] == "tech") == pytest.approx(0.3)


def test_overlays_go_in_the_order_of_the_configuration() -> None:
    weights = {"a": {"A": 0.8, "B": 0.2}}
    first: dict[str, object] = {"cap_per_name": 0.4}
    second: dict[str, object] = {"scale_to_gross": 1.0, "up": True}
    assert by_symbol(made(weights, blend(first, second, a=1.0)))["A"].startswith("0.6666")
    assert by_symbol(made(weights, blend(second, first, a=1.0))) == {"A": "0.4", "B": "0.2"}


def test_instruments_without_a_sector_are_one_sector_and_are_named() -> None:
    combined = combine(rows({"a": {"D": 0.3, "E": 0.3, "A": 0.3}}), SignalChoice(strategy="a"))
    targets, sentences = apply_overlays(combined, [Overlay(cap_per_sector=0.4)], SECTORS)
    assert by_symbol(targets) == {"D": "0.2", "E": "0.2", "A": "0.3"}
    assert sentences[0] == "Overlay cap_per_sector 0.4: no sector is known of D, E; together they count as one."


def test_what_is_set_aside_is_not_spread_over_the_rest_by_scaling_up() -> None:
    unknown = row("a", "", 0.5, status=TargetStatus.UNKNOWN_ID)
    combined = combine({"a": [unknown, row("a", "A", 0.25)]}, SignalChoice(strategy="a"))
    targets, _ = apply_overlays(combined, [Overlay(scale_to_gross=1.0, up=True)], SECTORS)
    assert TargetWeights(targets).total < Decimal("0.34")


_WEIGHT = st.floats(-1.0, 1.0, allow_nan=False) | st.sampled_from([0.0, -0.0, 0.1, 1 / 3, -1 / 3, 5e-324, 1e-20])
_SHARES = st.sampled_from([0.1, 0.2, 0.25, 0.3, 1 / 3])
_OVERLAYS = st.lists(
    st.one_of(
        st.builds(Overlay, scale_to_gross=st.floats(0.01, 2.0), up=st.booleans()),
        st.builds(Overlay, cap_per_name=st.floats(0.001, 1.0)),
        st.builds(Overlay, cap_per_sector=st.floats(0.001, 1.0)),
        st.just(Overlay(long_only=True)),
    ),
    max_size=4,
).map(tuple)


@st.composite
def _books(draw: st.DrawFn) -> tuple[dict[str, dict[str, float]], SignalChoice]:
    names = ["a", "b", "c"][: draw(st.integers(2, 3))]
    held = st.dictionaries(st.sampled_from("ABCDEF"), _WEIGHT, min_size=1)
    weights = {name: draw(held) for name in names}
    mode = draw(st.sampled_from(["blend", "mean", "median"]))
    members = tuple(MemberStrategy(id=name, capital=draw(_SHARES) if mode == "blend" else None) for name in names)
    combining = {"mode": "blend"} if mode == "blend" else {"mode": "ensemble", "combine": mode}
    return weights, SignalChoice.model_validate(
        {**combining, "strategies": members, "overlays": draw(_OVERLAYS)}, strict=True
    )


@settings(max_examples=400, deadline=None)
@given(_books())
def test_attribution_sums_to_the_target_exactly_whatever_is_combined_and_overlaid(
    book: tuple[dict[str, dict[str, float]], SignalChoice],
) -> None:
    weights, choice = book
    targets = made(weights, choice)
    assert {target.symbol for target in targets} == {symbol for held in weights.values() for symbol in held}
    for target in targets:
        parts = [Fraction(item.contribution) for item in target.contributions]
        assert sum(parts) == Fraction(target.target_weight)
        stated = {item.strategy: float(item.weight_stated) for item in target.contributions}
        assert stated == {name: held[target.symbol] for name, held in weights.items() if target.symbol in held}
        # The text of the lake holds every digit of it.
        assert Decimal(plain_text(target.target_weight)) == target.target_weight
    total = sum(Fraction(value) for value in TargetWeights(targets).by_strategy.values())
    assert total == Fraction(TargetWeights(targets).total)


@settings(max_examples=300, deadline=None)
@given(_books())
def test_combined_targets_are_what_rational_arithmetic_gives(
    book: tuple[dict[str, dict[str, float]], SignalChoice],
) -> None:
    weights, choice = book
    for target in combine(rows(weights), choice):
        values = [Fraction(decimal_of(weights[name].get(target.symbol, 0.0))) for name in choice.ids]
        if choice.mode == "blend":
            capital = [Fraction(repr(item.capital)) for item in choice.strategies]
            expected = sum((share * value for share, value in zip(capital, values, strict=True)), Fraction(0))
            assert Fraction(target.target_weight) == expected
        elif choice.combine == "median":
            assert Fraction(target.target_weight) == median(values)
        else:
            assert abs(Fraction(target.target_weight) - sum(values) / len(values)) <= Fraction(1, 10**24)


@settings(max_examples=300, deadline=None)
@given(_books())
def test_every_overlay_ends_within_what_it_promises_and_turns_no_sign(
    book: tuple[dict[str, dict[str, float]], SignalChoice],
) -> None:
    weights, choice = book
    stages = [combine(rows(weights), choice)]
    for overlay in choice.overlays:
        stages.append(apply_overlays(stages[-1], [overlay], SECTORS)[0])
    for overlay, (before, after) in zip(choice.overlays, pairwise(stages), strict=True):
        values = [target.target_weight for target in after]
        gross = exact_sum(map(abs, values))
        old = exact_sum(abs(target.target_weight) for target in before)
        assert all(new * target.target_weight >= 0 for new, target in zip(values, before, strict=True))
        if overlay.scale_to_gross is not None:
            value = decimal_of(overlay.scale_to_gross)
            assert gross == (value if old and (old > value or overlay.up) else old)
        elif overlay.cap_per_name is not None:
            assert max(map(abs, values)) <= decimal_of(overlay.cap_per_name)
        elif overlay.cap_per_sector is not None:
            for sector in ("tech", "energy", ""):
                held = [abs(target.target_weight) for target in after if SECTORS.get(target.symbol, "") == sector]
                assert exact_sum(held) <= decimal_of(overlay.cap_per_sector)
        else:
            assert min(values) >= 0


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"mode": "select"}, "mode select takes 'strategy'"),
        ({"mode": "blend", "strategy": "a"}, "blend and ensemble take 'strategies'"),
        ({"mode": "select", "strategy": "a", "strategies": ("b",)}, "mode select takes 'strategy'"),
        ({"mode": "blend", "strategies": ("a",)}, "'id' and 'capital'"),
        ({"mode": "blend", "strategies": ({"id": "a", "capital": 0.0},)}, "greater than 0"),
        (
            {"mode": "blend", "strategies": ({"id": "a", "capital": 0.7}, {"id": "b", "capital": 0.4})},
            r"sums to 1\.1; at most 1",
        ),
        ({"mode": "blend", "strategies": ({"id": "a", "capital": 0.1},) * 2}, "'a' stands twice"),
        ({"mode": "ensemble", "strategies": ("a", "b")}, "takes 'combine'"),
        ({"mode": "select", "strategy": "a", "combine": "mean"}, "takes 'combine'"),
        ({"mode": "ensemble", "strategies": ("a",), "combine": "mean"}, "at least two"),
        ({"mode": "select", "strategy": "a", "overlays": ({"cap_per_name": 0.1, "long_only": True},)}, "is one of"),
        ({"mode": "select", "strategy": "a", "overlays": ({"long_only": True, "up": True},)}, "'up' goes with"),
        ({"mode": "select", "strategy": "a", "overlays": ({"long_only": False},)}, "Input should be True"),
    ],
)
def test_a_choice_of_signals_that_contradicts_itself_is_refused(keys: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SignalChoice.model_validate(keys)


def test_ten_tenths_of_the_capital_are_all_of_it() -> None:
    names = [f"s{number}" for number in range(10)]
    assert blend(**dict.fromkeys(names, 0.1)).ids == tuple(names)
