"""Writes docs/openapi.json: what the REST API understands and answers.

python docs/make_openapi.py
"""

import json
from pathlib import Path

from assay.api.app import create_app
from assay.jobs import database

engine = database.connect("sqlite:///:memory:")
database.check = lambda _: None  # type: ignore[assignment]  # no request will be answered
document = json.dumps(create_app(engine, "").openapi(), indent=1, sort_keys=True)
Path(__file__).with_name("openapi.json").write_text(document + "\n", encoding="utf-8")
