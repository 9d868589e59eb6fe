"""How a command ends: the four exit codes, and what each says.

What belongs here: the codes and their meaning, which help, documentation and tests read. What does not: who ends with
which (`errors` for what is raised, the commands for their own answers).
"""

from __future__ import annotations

from enum import IntEnum

from scizor_dagster.cli import INTERRUPTED_CODE


class ExitCode(IntEnum):
    """What the shell gets."""

    DONE = 0
    NO = 1
    WRONG_CALL = 2
    INTERRUPTED = INTERRUPTED_CODE


MEANINGS: dict[ExitCode, str] = {
    ExitCode.DONE: "nothing failed; warnings, which stop nothing, are printed",
    ExitCode.NO: "the answer is no: refused, a break, a failed run, a store or broker that cannot be used",
    ExitCode.WRONG_CALL: "the call, the configuration or an input is wrong; as a rule nothing was written",
    ExitCode.INTERRUPTED: "it was interrupted (Ctrl-C); the same command again goes on",
}
"""What a code says of every command; a command says more of its own in its help."""
EXAMPLES: dict[ExitCode, str] = {
    ExitCode.DONE: "scizor limits",
    ExitCode.NO: "scizor report --date 2026-11-20, of a session of which nothing is stored",
    ExitCode.WRONG_CALL: "scizor limits --portfolio nobody",
    ExitCode.INTERRUPTED: "Ctrl-C at a question, or while a session runs",
}
"""Where one meets it; each is run by a test."""
