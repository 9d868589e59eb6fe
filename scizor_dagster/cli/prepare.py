"""What a server's processes wait for: `python -m scizor_dagster.cli.prepare`, once before any of them starts.

What belongs here: Dagster's home with its `dagster.yaml`, its storage, and the planner's machine code for the processor
at hand, so that nobody makes them at the same time as somebody else. What does not: bringing stores of an earlier
version forward (`scizor upgrade`).
"""

from __future__ import annotations

import os
import sys

from scizor_dagster.backtest.warm import warm
from scizor_dagster.cli.instance import prepare_home
from scizor_dagster.errors import ScizorError
from scizor_dagster.settings import Settings


def main() -> None:
    """Prepare the home of the environment; exit code 2 with a sentence where it cannot be."""
    try:
        prepare_home(Settings.from_environment(os.environ))
    except ScizorError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    warm()


if __name__ == "__main__":
    main()
