"""Which checks are to be judged, and on which partition of their asset.

What belongs here: words of a call to checks and partitions. What does not: how a check stands (`check_evaluations`).

Unless a partition is named, that of a market is the last session whose prices are final, whether it was collected or
not. A portfolio is judged on the newest session that it has begun and that is over, all of its assets on the same one:
a session that was planned and never reconciled is found. What was prepared for a session that is not over is
judged as far as it is there. Years, and what else is partitioned, by the newest partition that was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

    from scizor_dagster.flow.desk import Desk


@dataclass(frozen=True)
class Scope:
    """What is asked for.

    Attributes:
        owners: Markets and portfolios; all assets of the definitions where there are none.
        partition: The one partition to judge, where one is named.
        settled: By market, the last session whose prices are final.
        market_of: By portfolio, its market.
    """

    owners: tuple[str, ...] = ()
    partition: str | None = None
    settled: Mapping[str, date] = field(default_factory=dict)
    market_of: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, desk: Desk, markets: Sequence[str], portfolios: Sequence[str], partition: str | None) -> Scope:
        """The scope that these words of a call name.

        Raises:
            ConfigError: a market or a portfolio is not in the configuration.
        """
        for name in markets:
            desk.market(name)
        for name in portfolios:
            desk.portfolio(name)
        now = desk.clock()
        return cls(
            owners=(*markets, *portfolios),
            partition=partition,
            settled={name: desk.calendar(name).last_settled(now) for name in desk.config.markets},
            market_of={name: item.market for name, item in desk.config.portfolios.items()},
        )

    def newer_than(self, owner: str, partition: str | None) -> date | None:
        """Of a portfolio, the session that is over and that nothing was begun for; None where there is none."""
        if self.partition is not None or partition is None or owner not in self.market_of:
            return None
        settled = self.settled[self.market_of[owner]]
        return settled if partition < settled.isoformat() else None


class Expected:
    """What of the definitions is to be judged on one instance."""

    def __init__(self, instance: dg.DagsterInstance, graph: AssetGraph, scope: Scope) -> None:
        self._instance = instance
        self._graph = graph
        self._scope = scope
        self._made: dict[dg.AssetKey, frozenset[str]] = {}

    def checks(self) -> list[tuple[dg.AssetCheckKey, str | None]]:
        """Each check with its partition, ordered by name; the partition is None where no partition was ever made.

        Raises:
            InputError: there is none.
        """
        found = []
        for key in sorted(self._graph.asset_check_keys, key=lambda item: (item.asset_key.path, item.name)):
            if self._scope.owners and key.asset_key.path[0] not in self._scope.owners:
                continue
            due, partition = self._partition(key.asset_key)
            if due:
                found.append((key, partition))
        if not found:
            named = self._scope.partition
            raise InputError(
                f"No asset has a check of partition {named}." if named else "There is no check of what is asked for.",
                remedy="Name a market or a portfolio that has checks, and a session (YYYY-MM-DD) or a year of it.",
                where="--partition" if named else "definitions",
            )
        return found

    def _partition(self, key: dg.AssetKey) -> tuple[bool, str | None]:
        """Whether the asset is to be judged at all, and which partition of it."""
        import dagster as dg

        scope, partitions = self._scope, self._partitions_of(key)
        if partitions is None:
            return scope.partition is None, None
        made, owner = self._made_of(key), key.path[0]
        if isinstance(partitions, dg.DynamicPartitionsDefinition):
            named = scope.partition or max(made, default=None)
            return named in made, named
        if scope.partition is not None:
            return partitions.has_partition_key(scope.partition), scope.partition
        settled = scope.settled.get(owner)
        if settled is not None and partitions.has_partition_key(settled.isoformat()):
            return True, settled.isoformat()
        if owner in scope.market_of:
            return True, self._session(key, owner, scope.settled[scope.market_of[owner]].isoformat())
        return True, max(made, default=None)

    def _session(self, key: dg.AssetKey, portfolio: str, settled: str) -> str | None:
        own = max(self._made_of(key), default="")
        if own > settled:
            return own
        assets = [item for item in self._graph.materializable_asset_keys if item.path[0] == portfolio]
        return max((day for item in assets for day in self._made_of(item) if day <= settled), default=None)

    def _partitions_of(self, key: dg.AssetKey) -> dg.PartitionsDefinition | None:
        return self._graph.get(key).partitions_def if self._graph.has(key) else None

    def _made_of(self, key: dg.AssetKey) -> frozenset[str]:
        if key not in self._made:
            is_partitioned = self._partitions_of(key) is not None
            self._made[key] = frozenset(self._instance.get_materialized_partitions(key) if is_partitioned else ())
        return self._made[key]
