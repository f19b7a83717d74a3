"""Writes docs/openapi.json: `python docs/make_openapi.py`. A test says when it is out of date."""

import json
import tempfile
from pathlib import Path

from assay.api.app import create_app, document
from assay.api.serving import assembled
from assay.api.settings import Service
from assay.jobs.database import database
from assay.jobs.roots import Roots


def current() -> str:
    """The OpenAPI document of this version, as text."""
    with tempfile.TemporaryDirectory() as home:
        url = f"sqlite:///{home}/assay.db"
        app = create_app(assembled(Service(home, url), database(url), Roots(())))
    return json.dumps(document(app), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent / "openapi.json").write_text(current())
