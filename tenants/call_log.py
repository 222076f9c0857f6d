"""The line that each call leaves in the log, made in one step.

The general way of a line, through structlog's processors and a second formatter, cost a seventh of a busy web process's
time, measured. This one has the same members and goes through the same handlers.
"""

import logging
from datetime import UTC, datetime
from typing import Any

import orjson

#: The attribute of a log record that holds a line ready to be written.
READY = "ready_line"


class CallLog:
    """Writes INFO lines under one logger's name."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def write(self, event: str, *, now: datetime | None = None, **members: Any) -> None:
        """One line. `members` are ids, counts and codes, never content."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        moment = (now or datetime.now(UTC)).isoformat()
        line = {**members, "event": event, "logger": self._logger.name, "level": "info", "timestamp": moment}
        record = logging.LogRecord(self._logger.name, logging.INFO, "", 0, event, None, None)
        setattr(record, READY, orjson.dumps(line).decode())
        self._logger.handle(record)
