"""`assay serve`: the REST API in this process."""

import click

from assay.api import settings


@click.command(short_help="Serve the REST API.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8123, show_default=True)
def serve(host: str, port: int) -> None:
    """Serve the REST API; /docs describes it, /openapi.json is its document.

    A new SQLite database is brought into shape first; any other wants `assay migrate`.
    """
    import uvicorn

    from assay.api.app import create_app
    from assay.jobs import database

    service = settings.service()
    engine = database.connect(service.database_url)
    if engine.dialect.name == "sqlite" and not database.revision(engine):
        database.migrate(engine)
    app = create_app(engine, service.secret)
    click.echo(f"assay: http://{host}:{port}/docs; Ctrl-C ends it", err=True)
    uvicorn.run(app, host=host, port=port, log_level="warning")
