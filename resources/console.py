"""What the steps of a run write to the console: Dagster's own lines, in the form of all other logs, without secrets.

What belongs here: the logger that stands in the place of Dagster's. What does not: the form (`scizor_dagster.logs`).
"""

import logging
import os

import dagster as dg

from scizor_dagster.flow.secrets import late_redaction
from scizor_dagster.logs import dress


@dg.logger(dg.colored_console_logger.config_schema, description="The console, as LOG_FORMAT says, without secrets.")
def console(context: dg.InitLoggerContext) -> logging.Logger:
    """Dagster's coloured console, or one JSON object a line."""
    logger = dg.colored_console_logger.logger_fn(context)
    redact = late_redaction(os.environ)
    for handler in logger.handlers:
        dress(handler, os.environ, redact)
    return logger
