"""What became of the mutants, in words and numbers. Decides nothing but whether enough of them were noticed."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutating import Mutant
from tests.mutants.trials import Outcome

EQUIVALENT = Path(__file__).with_name("equivalent.toml")


@dataclass(frozen=True)
class Equivalent:
    """A mutant that changes no behaviour: the lines as they are and as they become, without indentation."""

    module: str
    before: str
    after: str
    why: str

    def is_of(self, mutant: Mutant) -> bool:
        if mutant.path != self.module or self.before.partition("\n")[0] not in mutant.before:
            return False
        diff = mutant.diff()
        return self.before == _side(diff, "-") and self.after == _side(diff, "+")


def _side(diff: Sequence[str], sign: str) -> str:
    return "\n".join(line[2:] for line in diff if line.startswith(sign))


def equivalents(file: Path = EQUIVALENT) -> list[Equivalent]:
    """Those that the file names."""
    return [
        Equivalent(row["module"], row["before"].strip(), row.get("after", "").strip(), row["why"])
        for row in tomllib.loads(file.read_text()).get("mutant", [])
    ]


@dataclass(frozen=True)
class Tried:
    """A mutant and its outcome."""

    mutant: Mutant
    outcome: Outcome

    def lines(self) -> Iterator[str]:
        yield f"{self.mutant.name}"
        yield from (f"    {line}" for line in self.mutant.diff())
        if self.outcome.noticed:
            yield f"    {'late: ' if self.outcome.late else ''}{self.outcome.by}"


def table(tried: Iterable[Tried]) -> list[str]:
    """Noticed and all, for each module, each package and in total."""
    noticed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for one in tried:
        package = one.mutant.path.partition("/")[0]
        for name in (one.mutant.path, f"{package} in all", "~ in all"):
            total[name] += 1
            noticed[name] += one.outcome.noticed
    return [
        f"{name.replace('~', 'the core'):40} {noticed[name]:5} of {count:5}  {noticed[name] / count:6.1%}"
        for name, count in sorted(total.items())
    ]


def share(tried: Sequence[Tried]) -> float:
    """The part of the mutants that was noticed; 1 of none."""
    return sum(one.outcome.noticed for one in tried) / len(tried) if tried else 1.0
