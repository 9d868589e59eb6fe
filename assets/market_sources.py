"""Checks of a market that has several sources of prices.

What belongs here: which of them a market has, and rendering what was found. What does not: asking the sources and
comparing them (`scizor_dagster`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import dagster as dg
import pandas as pd

from assets.checks import FactCheck
from assets.metadata import table
from scizor_dagster.config import Market
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import bars_by_source
from scizor_dagster.flow.second_prices import ask_second_source, compare_session


@dataclass(frozen=True)
class SourceChecks:
    """The checks that `settings` asks for: of the fall-backs' share, and of a second source."""

    key: dg.AssetKey
    settings: Market

    @property
    def _first(self) -> FactCheck:
        description = "The market's first source answered, and gave every bar that there is."
        return FactCheck(self.key, "first_source_gave_every_bar", description)

    @property
    def _second(self) -> FactCheck:
        share = self.settings.quality.max_source_difference
        description = f"Most closes were compared with a second source's, and none differs by more than {share:.2%}."
        return FactCheck(self.key, "second_source_agrees", description)

    @property
    def specs(self) -> list[dg.AssetCheckSpec]:
        first = [self._first.spec] if self.settings.fallbacks else []
        return first + ([self._second.spec] if self.settings.compare_with is not None else [])

    def results(self, desk: Desk, market: str, sessions: Sequence[date]) -> list[dg.AssetCheckResult]:
        """What the checks find of `sessions`, which have just been collected; the second source is asked here."""
        found = []
        if self.settings.fallbacks:
            counts, outages, unfit = bars_by_source(desk, market, sessions[0], sessions[-1])
            alone = set(counts["source"]) <= {desk.provider(market).name}
            said = {"by_source": table(counts), "not_answering": outages, "not_taken": unfit}
            found.append(self._first.result(alone and not outages, **said))
        if self.settings.compare_with is not None:
            report = ask_second_source(desk, market, sessions[0], sessions[-1])
            with desk.lake.pinned() as lake:
                beside = [compare_session(desk, lake, market, session) for session in sessions]
            differing = pd.concat([item.differing for item in beside])
            silent = [item.found for item in beside if not item.most_compared]
            problem = report.problem if report is not None else ""
            agrees = differing.empty and not problem and not silent
            said = {"differing": table(differing), "problem": problem, "not_compared": "; ".join(silent)}
            found.append(self._second.result(agrees, rows=len(differing), **said))
        return found
