"""Draw mutants, try them, report. Ends with 1 if fewer than the asked share was noticed."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

from tests.mutants import trials, watching
from tests.mutants.mutating import Mutant, mutants_of
from tests.mutants.reporting import Tried, equivalents, share, table
from tests.mutants.trials import Trial

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "scizor_dagster"
SAMPLE = 400
PATIENCE = 30.0
"""Seconds that an import or a test may take before a mutant counts as one that hangs."""


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    drawn = drawn_from(asked.only, asked.sample, Random(asked.seed))
    # The copies lie elsewhere, where the folder beside the project is not found.
    os.environ.setdefault("SCIZOR_REFERENCE_DATA", str(ROOT.parent / "shared" / "data"))
    trials.import_libraries()
    with trials.copies(ROOT, asked.jobs) as copies:
        watched = _watched(asked.watched, copies)
        print(f"{len(watched.tests)} tests watched; {len(drawn)} mutants, seed {asked.seed}", flush=True)
        tried = list(_tried(drawn, watched, copies, shown=asked.all))
    print(*table(tried), sep="\n")
    reached = share(tried)
    print(f"{reached:.1%} of {len(tried)} mutants noticed, {asked.least:.0%} are asked; seed {asked.seed}")
    return 0 if reached >= asked.least else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=SAMPLE, help=f"how many mutants; 0 for all ({SAMPLE})")
    parser.add_argument("--seed", default=os.environ.get("SCIZOR_SEED", "7"), help="of the sample (SCIZOR_SEED, or 7)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time (the CPUs)")
    parser.add_argument("--only", action="append", help="a package, module or module:line, as in risk/limits.py:40")
    parser.add_argument("--watched", type=Path, help="keep here which tests run which line, and use it again")
    parser.add_argument("--least", type=float, default=0.9, help="share to be noticed (0.9)")
    parser.add_argument("--all", action="store_true", help="show the noticed ones too, each with the test that did")
    return parser


def drawn_from(only: Sequence[str] | None, sample: int, random: Random) -> list[Mutant]:
    """Mutants of the packages, in proportion to their lines; each is Python, a change, and not known to be none.

    Args:
        only: names to begin with, or None for the whole core.
        sample: how many, or 0 for all.
        random: draws them.
    """
    known = equivalents()
    packages = {name: _mutants(name, only) for name in watching.PACKAGES}
    lines = {name: _lines(name) for name, mutants in packages.items() if mutants}
    drawn: list[Mutant] = []
    for name, size in lines.items():
        mutants = random.sample(packages[name], len(packages[name]))
        usable = (one for one in mutants if one.text() is not None and not any(same.is_of(one) for same in known))
        count = round(sample * size / sum(lines.values())) if sample else len(mutants)
        drawn += [one for _, one in zip(range(count), usable, strict=False)]
    return drawn


def _modules(package: str) -> list[Path]:
    return sorted((SOURCES / package).glob("*.py"))


def _lines(package: str) -> int:
    return sum(len(file.read_text().splitlines()) for file in _modules(package))


def _mutants(package: str, only: Sequence[str] | None) -> list[Mutant]:
    found: list[Mutant] = []
    for file in _modules(package):
        path = file.relative_to(SOURCES).as_posix()
        if only is None or any(path.startswith(name.partition(":")[0]) for name in only):
            found += mutants_of(path, file.read_text())
    return [one for one in found if only is None or any(one.name == name or ":" not in name for name in only)]


def _watched(file: Path | None, copies: Sequence[Path]) -> watching.Watched:
    if file is not None and file.exists():
        return watching.Watched.read(file)
    watched = watching.watch(copies, watching.own_tests(ROOT))
    if watched.failed:
        print("These fail or are skipped on the sound code, and judge no mutant:", *watched.failed, sep="\n    ")
    if file is not None:
        watched.write(file)
    return watched


def _tried(
    drawn: Sequence[Mutant], watched: watching.Watched, copies: Sequence[Path], *, shown: bool
) -> Iterator[Tried]:
    """Try each, and show those that nobody noticed as they come."""
    began = time.monotonic()
    for done, (number, outcome) in enumerate(trials.play(map(_trial(watched), drawn), copies), 1):
        one = Tried(drawn[number], outcome)
        if shown or not outcome.noticed:
            took = (time.monotonic() - began) / done
            print(f"{'noticed' if outcome.noticed else 'SURVIVED'} {done}/{len(drawn)} ({took:.1f} s each)", end=" ")
            print(*one.lines(), sep="\n", flush=True)
        yield one


def _trial(watched: watching.Watched) -> Callable[[Mutant], Callable[[Path], Trial]]:
    def of(mutant: Mutant) -> Callable[[Path], Trial]:
        text, tests = mutant.text(), watched.chosen(mutant)
        assert text is not None
        return lambda copy: Trial(copy, f"scizor_dagster/{mutant.path}", text, tests, PATIENCE)

    return of


if __name__ == "__main__":
    sys.exit(main())
