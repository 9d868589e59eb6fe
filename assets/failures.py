"""The edge where Scizor's errors become Dagster's.

What belongs here: the one translation, used by every asset body. What does not: catching an error
to go on; an asset that cannot do its work fails, without a retry.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from assets.metadata import violations_table
from scizor_dagster.errors import ScizorError, SignalRefused


@contextmanager
def clear_failures() -> Iterator[None]:
    """Turn a `ScizorError` into a `dagster.Failure` that shows cause, place and remedy and is never retried."""
    try:
        yield
    except SignalRefused as error:
        raise dg.Failure(
            description=str(error),
            metadata={
                "file": dg.MetadataValue.path(error.path),
                "violations": violations_table(error.violations),
                "remedy": error.remedy,
            },
            allow_retries=False,
        ) from error
    except ScizorError as error:
        raise dg.Failure(
            description=str(error),
            metadata={"kind": type(error).__name__, "where": error.where or "", "remedy": error.remedy},
            allow_retries=False,
        ) from error
