"""`make drills`: every way back on both kinds of store, as a table of times."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from scizor_dagster.flow.migrating import migrate_home
from tests import postgres
from tests.drills.drills import DRILLS, Drill, upgraded
from tests.drills.making import earlier_home
from tests.flow.desks import NOW, left_after_the_first
from tests.projects import project_at

UPGRADE = "home of an earlier version"


def main() -> int:
    with ExitStack() as opened:
        scratch = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="scizor-drills-")))
        (scratch / "traded").mkdir()
        traded = left_after_the_first(scratch / "traded")
        try:
            server = opened.enter_context(postgres.running(memory=False))
        except postgres.PostgresMissing as missing:
            sys.stdout.write(f"On files alone: {missing}.\n")
            server = None
        sys.stdout.write(f"{'drill':52}{'store':10}{'step':24}{'seconds':>8}\n")
        for store in ("files", "Postgres") if server is not None else ("files",):
            for name in (*DRILLS, UPGRADE):
                folder = scratch / f"{store}-{name}"
                if name == UPGRADE:
                    earlier_home(folder)
                else:
                    shutil.copytree(traded, folder)
                drill = Drill(project_at(folder).settings, server if store == "Postgres" else None)
                if drill.server is not None:
                    drill.move_to_new_database()
                    with drill.timed("migrate"):
                        migrate_home(drill.settings, now=NOW, prepare_dagster=None)
                if name == UPGRADE:
                    upgraded(drill)
                else:
                    DRILLS[name](drill, scratch / f"{store}-{name}-kept")
                for step, seconds in drill.seconds.items():
                    sys.stdout.write(f"{name:52}{store:10}{step:24}{seconds:8.2f}\n")
                    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
