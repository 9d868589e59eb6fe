"""The machine, the sizes of the stores, the last backup, and how much may still be asked of brokers.

What belongs here: what is read from disk, stores and this process. What does not: Dagster (`runs`).
"""

from __future__ import annotations

import platform
import shutil

from scizor_dagster.brokers.alpaca.pacing import headroom
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.maintenance import measure
from scizor_dagster.ledger.events import last_seq
from scizor_dagster.marks import BACKUP, left
from scizor_dagster.monitoring.catalogue import MACHINE
from scizor_dagster.monitoring.readings import Readings
from scizor_dagster.version import release


def machine(desk: Desk) -> Readings:
    """Disk, stores as far as there are any, and the build."""
    found, home = Readings(MACHINE), desk.settings.home
    found.add("scizor_build_info", 1, release(), platform.python_version())
    found.instant("scizor_backup_timestamp_seconds", left(home, BACKUP))
    if home.exists():
        found.add("scizor_disk_free_bytes", shutil.disk_usage(home).free)
    if desk.has_lake:
        size = measure(desk.lake)
        found.add("scizor_lake_bytes", size.bytes)
        found.add("scizor_lake_files", size.files)
        found.add("scizor_lake_snapshots", size.snapshots)
    if desk.has_ledger:
        with desk.ledger.read() as connection:
            found.add("scizor_ledger_entries", last_seq(connection))
    for api, side, limit, left_over in headroom():
        found.add("scizor_requests_limit", limit, api, side)
        found.add("scizor_requests_left", left_over, api, side)
    return found
