"""Names of jobs, schedules and sensors.

What belongs here: the one rule for names. With one market (or portfolio) a job carries the plain
name that the documentation uses; with several, each carries its market's or portfolio's name.
"""

from collections.abc import Collection


def name_for(job: str, owner: str, owners: Collection[str]) -> str:
    """`rebalance` where `owner` is the only one, else `rebalance_<owner>`."""
    return job if len(owners) == 1 else f"{job}_{owner}"
