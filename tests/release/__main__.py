"""`python -m tests.release check`, and `sbom LOCK ENVIRONMENT TARGET`: see `make release-check`."""

import sys
from pathlib import Path

from tests.release.checks import CHECKS
from tests.release.sbom import Incomplete, write_joined

ROOT = Path(__file__).resolve().parents[2]


def check(root: Path = ROOT) -> int:
    """Print each check, and what is wrong; 1 where anything is."""
    failed = 0
    for name, problems in CHECKS.items():
        found = list(problems(root))
        failed += bool(found)
        print(f"{'FAILED' if found else 'ok':<7}{name}", *found, sep="\n       ")  # noqa: T201
    print(f"{failed} of {len(CHECKS)} checks failed." if failed else "This tree can be released.")  # noqa: T201
    return 1 if failed else 0


def main(words: list[str]) -> int:
    if words == ["check"]:
        return check()
    if len(words) == 4 and words[0] == "sbom":
        try:
            components, licensed = write_joined(*map(Path, words[1:]))
        except Incomplete as error:
            print(f"No list was written: {error}", file=sys.stderr)  # noqa: T201
            return 1
        print(f"{words[3]}: {components} components with hashes, {licensed} state a licence.")  # noqa: T201
        return 0
    print("usage: python -m tests.release check | sbom LOCK ENVIRONMENT TARGET", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
