"""Logs as JSON lines on stderr, each with the request or the job that it is about."""

import logging
import sys
from typing import Any

import structlog

SECRETS = ("authorization", "key", "secret", "password", "token")


def set_up(level: str) -> None:
    """From now on; other packages' logs come through as well, from warnings up."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info,
                    structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )  # fmt: skip
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processor=structlog.processors.JSONRenderer()
        )
    )
    durable = logging.getLogger("dbos")  # it brings a handler of its own
    durable.handlers.clear()
    durable.propagate = True
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))


def _hide(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """No credential gets into a log, whoever passes one."""
    return {name: "***" if name.lower() in SECRETS else value for name, value in event.items()}
