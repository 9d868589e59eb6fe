"""The command line.

What belongs here: what Ctrl-C says while the commands are still being imported, which `app.main` cannot
catch. What does not: anything else; the commands are in the modules beside this one.
"""

import os
import sys
from types import TracebackType

INTERRUPTED = "Interrupted."
INTERRUPTED_CODE = 130
CONTINUE = "Nothing is lost: run the same command again to continue."


def _say_what_ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        # An extension module that is interrupted while it loads fails with an ImportError around it.
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write(f"{INTERRUPTED} {CONTINUE}\n")
    sys.stderr.flush()
    os._exit(INTERRUPTED_CODE)


sys.excepthook = _say_what_ended
