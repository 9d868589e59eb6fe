"""Names of jobs, schedules and sensors.

What belongs here: the one rule for names. Dagster keeps by name whether a schedule is switched on and
what has run: the first market (or portfolio) of the configuration therefore carries the plain name for
good, and every further one, added after it, its own name behind that.
"""

from collections.abc import Mapping, Sequence


def name_for(job: str, owner: str, owners: Sequence[str] | Mapping[str, object]) -> str:
    """`rebalance` for the first of `owners` (in the order of the configuration), else `rebalance_<owner>`."""
    return job if owner == next(iter(owners)) else f"{job}_{owner}"
