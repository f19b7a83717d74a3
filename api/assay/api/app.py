"""The REST API: routes, guards, problems and the OpenAPI document, put together."""

from importlib import import_module
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CollectorRegistry

from assay.api import problems
from assay.api.guards import Guards, Measures
from assay.api.routes import answers, fits, health, keys, selections, targets, validations
from assay.api.serving import Serving
from assay.api.shapes import ProblemDocument
from assay.selectors.errors import BadSetting

VERSION = "1"
ABOUT = """Select, fit, plan and recommend, as jobs that survive anything.

Lists take `after` and `limit`; submissions take an `Idempotency-Key`; failures are problems
(RFC 9457) whose `code` is stable."""


def create_app(serving: Serving) -> FastAPI:
    """The application for a server's parts."""
    registry = CollectorRegistry()
    measures = Measures(registry)
    app = FastAPI(
        title="assay",
        version=VERSION,
        description=ABOUT,
        docs_url=None,  # those pages would load scripts from elsewhere
        redoc_url=None,
        telemetry=_telemetry(serving.settings.otel),
        separate_input_output_schemas=False,
    )
    app.state.serving = serving
    app.state.registry = registry
    problems.install(app)
    app.add_middleware(Guards, max_body=serving.settings.max_body, measures=measures)
    for part in (selections, fits, validations, targets, answers, keys, health):
        app.include_router(part.router)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    return app


def _telemetry(wanted: bool) -> TelemetryConfig:
    """FastAPI's own OpenTelemetry: where to, say the OTEL_* variables of its exporters."""
    if wanted:
        _need("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
        return {"auto_configure": True}
    return {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}


def _need(*modules: str) -> None:
    for module in modules:
        try:
            import_module(module)
        except ImportError as cause:
            raise BadSetting(
                f"ASSAY_OTEL needs more packages ({cause.name}): pip install 'assay[otel]', or "
                f"leave it out"
            ) from cause


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with problem documents instead of FastAPI's own errors."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = made["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
        app.openapi_schema = made
    return app.openapi_schema
