"""As much of Prometheus' language as the shipped rules are written in, over one moment's samples.

Selectors with `label="value"`, numbers, `time()`, `+ - * /`, filtering comparisons, `and`, `or`, `unless`, `on ()`,
`count()`. Whatever else a rule holds is refused, so that no rule is taken for tried which is not.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Samples = Mapping[str, Vector]
Value = float | Vector

_TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*|[0-9.]+|==|!=|>=|<=|[-+*/<>(){},=]|\"[^\"]*\")")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip
_SUM = {"+": operator.add, "-": operator.sub}
_PRODUCT = {"*": operator.mul, "/": operator.truediv}


def labels(**values: str) -> Labels:
    return frozenset(values.items())


def names_in(text: str) -> set[str]:
    """Metrics that an expression names, as far as they can be told from the words of the language."""
    without = re.sub(r"\"[^\"]*\"|\{[^}]*\}|\b(by|on|without)\s*\([^)]*\)", "", text)
    return set(re.findall(r"\bscizor_[a-z0-9_]+\b", without))


@dataclass
class _Reader:
    tokens: list[str]
    samples: Samples
    now: float

    def take(self, *expected: str) -> str:
        token = self.tokens.pop(0) if self.tokens else ""
        if expected and token not in expected:
            raise ValueError(f"'{token}' where {expected} was expected")
        return token

    @property
    def next(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def union(self) -> Value:
        left = self.intersection()
        while self.next == "or":
            self.take()
            right = self.intersection()
            assert isinstance(left, dict)
            assert isinstance(right, dict)
            left = {**right, **left}
        return left

    def intersection(self) -> Value:
        left = self.comparison()
        while self.next in ("and", "unless"):
            keeps = self.take() == "and"
            anyone = self.next == "on"
            if anyone:
                for part in ("on", "(", ")"):
                    self.take(part)
            right = self.comparison()
            assert isinstance(left, dict)
            assert isinstance(right, dict)
            there = right if not anyone else dict.fromkeys(left if right else (), 0.0)
            left = {key: value for key, value in left.items() if (key in there) is keeps}
        return left

    def comparison(self) -> Value:
        left = self.sum()
        if self.next in _COMPARE:
            holds = _COMPARE[self.take()]
            right = self.sum()
            assert isinstance(left, dict) or isinstance(right, dict), "a rule compares figures"
            pairs = _paired(left, right)
            kept = {key: pair for key, pair in pairs.items() if holds(*pair)}
            return {key: pair[0] if isinstance(left, dict) else pair[1] for key, pair in kept.items()}
        return left

    def sum(self) -> Value:
        return self._chain(self.product, _SUM)

    def product(self) -> Value:
        return self._chain(self.atom, _PRODUCT)

    def _chain(self, part: Callable[[], Value], known: Mapping[str, Callable[[float, float], float]]) -> Value:
        left = part()
        while self.next in known:
            made = known[self.take()]
            right = part()
            if isinstance(left, float) and isinstance(right, float):
                left = made(left, right)
            else:
                left = {key: made(*pair) for key, pair in _paired(left, right).items()}
        return left

    def atom(self) -> Value:
        token = self.take()
        if token == "(":
            found = self.union()
            self.take(")")
            return found
        if token == "time":
            self.take("(")
            self.take(")")
            return self.now
        if token == "count":
            self.take("(")
            counted = self.union()
            self.take(")")
            assert isinstance(counted, dict), "figures are counted"
            return {labels(): float(len(counted))} if counted else {}
        if re.fullmatch(r"[0-9.]+", token):
            return float(token)
        if not re.fullmatch(r"[a-z_:]+[a-z0-9_]*", token) or self.next == "(":
            raise ValueError(f"'{token}' is not known here")
        return self.selected(token)

    def selected(self, name: str) -> Vector:
        wanted: dict[str, str] = {}
        if self.next == "{":
            self.take()
            while self.next != "}":
                label = self.take()
                self.take("=")
                wanted[label] = self.take().strip('"')
                if self.next == ",":
                    self.take()
            self.take("}")
        found = self.samples.get(name, {})
        return {key: value for key, value in found.items() if wanted.items() <= dict(key).items()}


def _paired(left: Value, right: Value) -> dict[Labels, tuple[float, float]]:
    """Figures with the same labels side by side; a number stands beside every one."""
    if isinstance(left, dict) and isinstance(right, dict):
        return {key: (left[key], right[key]) for key in left.keys() & right.keys()}
    if isinstance(left, dict):
        assert isinstance(right, float)
        return {key: (value, right) for key, value in left.items()}
    assert isinstance(left, float)
    assert isinstance(right, dict)
    return {key: (left, value) for key, value in right.items()}


def evaluated(text: str, samples: Samples, now: float) -> Vector:
    """What the expression finds in the samples: the alarm rings for each."""
    tokens = [found.group(1) for found in _TOKEN.finditer(text)]
    if "".join(tokens) != re.sub(r"\s", "", text):
        raise ValueError(f"not understood whole: {text}")
    reader = _Reader(tokens, samples, now)
    found = reader.union()
    if reader.tokens:
        raise ValueError(f"'{reader.next}' is left over in {text}")
    assert isinstance(found, dict), "an alarm is made of figures"
    return found
