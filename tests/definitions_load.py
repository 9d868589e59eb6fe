"""`make check`: the shipped definitions load, and every job, schedule and sensor resolves."""

import os
import sys
import tempfile


def main() -> int:
    with tempfile.TemporaryDirectory() as home:
        os.environ["SCIZOR_HOME"] = home
        import dagster as dg

        from scizor_dagster.definitions import build_defs

        defs = build_defs()
        dg.Definitions.validate_loadable(defs)
        repository = defs.get_repository_def()
        assets = len(list(defs.resolve_all_asset_specs()))
        print(f"definitions load: {assets} assets, {len(repository.get_all_jobs())} jobs")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
