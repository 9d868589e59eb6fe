"""Asks what standard input says, and prints the answers: `python -m tests.deploy.visitor`, in a network of its own."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

from tests.deploy.wire import sent, trusting


def main() -> None:
    visit = json.load(sys.stdin)
    context = trusting(Path(visit["certificate"]))
    answers = []
    for name, raw in visit["asks"]:
        answer = sent(visit["port"], base64.b64decode(raw), context, name, visit["address"])
        answers.append([answer.status, answer.headers, base64.b64encode(answer.body).decode()])
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
