"""The OpenAPI document that is kept is current, and the client and the routes keep to it."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from assay.api.client import CALLS, Event, Job

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "docs" / "openapi.json"


CONFIG = """
[[operations]]
include-path-regex = "^/v1/selections/[{{]id[}}].+"
parameters = {{ "path.id" = "{job}", "path.document" = "doc-00001" }}
[[operations]]
include-name = "GET /v1/selections/{{id}}"
parameters = {{ "path.id" = "{job}" }}
"""


@pytest.fixture(scope="module")
def document():
    return json.loads(KEPT.read_text())


def test_the_document_that_is_kept_is_the_current_one():
    made = importlib.util.spec_from_file_location("make_openapi", ROOT / "docs/make_openapi.py")
    module = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    current = module.current()
    assert KEPT.read_text() == current, "run: python docs/make_openapi.py"


def test_the_client_asks_for_what_is_there(document):
    for name, (method, path) in CALLS.items():
        assert document["paths"][path][method.lower()]["operationId"] == name
    for kind, typed in (("JobDocument", Job), ("EventDocument", Event)):
        assert set(document["components"]["schemas"][kind]["properties"]) == set(
            typed.__annotations__
        )


def test_every_route_under_v1_needs_a_key_and_documents_its_problems(document):
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            if path.startswith("/v1/"):
                assert route["security"], (path, method)
                assert {"401", "403", "422", "429"} <= set(route["responses"]), (path, method)


def test_every_method_has_its_settings_in_the_document(document):
    from assay.selectors import catalog

    body = document["paths"]["/v1/selections"]["post"]["requestBody"]
    mapping = body["content"]["application/json"]["schema"]["discriminator"]["mapping"]
    assert set(mapping) == set(catalog.names())
    for name, place in mapping.items():
        schema = document["components"]["schemas"][place.rpartition("/")[2]]
        assert set(schema["properties"]["settings"].get("properties", {})) == set(
            catalog.schema(name).get("properties", {})
        )


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_five_thousand_requests_meet_no_surprise(make_service, tmp_path, rows_of, shards_of):
    attacked(make_service, tmp_path, rows_of, shards_of, examples=40, least=5_000)


def test_some_hundred_requests_meet_no_surprise(make_service, tmp_path, rows_of, shards_of):
    attacked(make_service, tmp_path, rows_of, shards_of, examples=1, least=150)


def attacked(make_service, folder, rows_of, shards_of, examples, least):
    """schemathesis over the whole document, with a key that may do everything."""
    from assay.jobs import access

    with make_service(folder, f"sqlite:///{folder}/home/assay.db") as service:
        shards_of(folder / "raw", rows_of(40), 1, 20)
        service.start("serve", "--port", service.port)
        pepper = access.secret(str(folder / "home"))
        key = access.create(service.database, pepper, "ada", ["read", "submit", "admin"]).text
        asked = {"method": "uniform", "raw": [str(folder / "raw")], "budget": "10%"}
        job = service.submit("first", **asked)
        service.over(job)
        (folder / "schemathesis.toml").write_text(CONFIG.format(job=job))
        done = subprocess.run(
            [Path(sys.executable).with_name("schemathesis"), "run",
             f"http://127.0.0.1:{service.port}/openapi.json", "-H", f"Authorization: Bearer {key}",
             "--max-examples", str(examples), "--seed", "7", "--no-color",
             "--generation-database", "none", "--request-timeout", "60",
             "--exclude-checks", "unsupported_method,positive_data_acceptance"],
            capture_output=True, text=True, check=False, cwd=folder,
        )  # fmt: skip
        (folder / "schemathesis.log").write_text(done.stdout + done.stderr)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        counts = [line for line in done.stdout.splitlines() if "generated" in line]
        number = int(counts[-1].split()[0]) if counts else 0
        assert number >= least, done.stdout[-3000:]
