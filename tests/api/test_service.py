"""The REST API as a client meets it: who may ask, what comes back, what is refused."""

import json
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from assay.api.app import LARGEST, create_app
from assay.jobs import database, keys
from assay.jobs.errors import DatabaseNotReady
from assay.scaling.commands import recommend_run
from assay.scaling.opinions import Request

ROOT = Path(__file__).parents[2]
SECRET = "0123456789abcdef" * 4
ASKED = {"params": 1e9, "tokens": 1e11}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    engine = database.connect(f"sqlite:///{tmp_path_factory.mktemp('db') / 'assay.db'}")
    database.migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def app(engine):
    return create_app(engine, SECRET)


@pytest.fixture
def opened(app, engine):
    """A client with a key of these scopes."""

    def make(*scopes, **more):
        _, text = keys.create(engine, SECRET, name="test", owner="ada", scopes=scopes, **more)
        client = TestClient(app, raise_server_exceptions=False)
        client.headers["Authorization"] = f"Bearer {text}"
        return client

    return make


@pytest.fixture
def reader(opened):
    return opened("read")


def problem(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert (found["status"], found["code"]) == (status, code)
    assert found["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    return found


# What comes back ---------------------------------------------------------------------


def test_advice_is_that_of_the_command_line(reader):
    found = reader.post("/v1/recommendations", json=ASKED).json()
    here = recommend_run(Request(**ASKED)).document
    assert found == {"object": "recommendation", **json.loads(json.dumps(here))}


def test_a_plan_has_sizes_costs_and_a_mixture_beside_it(reader):
    found = reader.post("/v1/plans", json={"compute": 5.76e23, "activation": 0.05}).json()
    assert found["dense"]["params"]["value"] == pytest.approx(73.2e9, rel=0.02)
    assert found["mixture"]["leverage"] > 1


def test_methods_come_with_the_schemas_of_their_settings(reader):
    methods = {one["name"]: one for one in reader.get("/v1/methods").json()["data"]}
    assert methods["dsir"]["settings"]["properties"]["orders"]["default"] == 2
    assert len(reader.get("/v1/laws").json()["data"]) > 40
    assert any(one["name"] == "H100" for one in reader.get("/v1/hardware").json()["data"])


def test_the_document_that_is_kept_is_current(app):
    kept = json.loads((ROOT / "docs" / "openapi.json").read_text())
    made = json.loads(json.dumps(app.openapi()))
    assert made == kept, "run `make openapi`"


def test_health_needs_no_key(app):
    client = TestClient(app)
    assert client.get("/healthz").json() == client.get("/readyz").json() == {"status": "ok"}


def test_a_database_that_went_away_is_told_as_such(tmp_path):
    engine = database.connect(f"sqlite:///{tmp_path / 'a.db'}")
    with pytest.raises(DatabaseNotReady, match="assay migrate"):
        create_app(engine, SECRET)
    database.migrate(engine)
    client = TestClient(create_app(engine, SECRET), raise_server_exceptions=False)
    database.migrate(engine, "base")
    assert problem(client.get("/readyz"), 503, "database_unavailable")["retryable"]


def test_a_request_keeps_its_own_name_if_that_is_harmless(reader):
    assert reader.get("/healthz", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == (
        "mine-1"
    )
    for bad in ("a b", "x" * 65, "<script>"):
        assert (
            reader.get("/healthz", headers={"X-Request-Id": bad})
            .headers["x-request-id"]
            .startswith("req_")
        )


# Who may ask -------------------------------------------------------------------------


PATHS = [
    ("get", "/v1/methods"), ("get", "/v1/laws"), ("get", "/v1/hardware"), ("get", "/v1/whoami"),
    ("post", "/v1/recommendations"), ("post", "/v1/plans"), ("get", "/v1/keys"),
    ("post", "/v1/keys"), ("delete", "/v1/keys/key_x"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "path"), PATHS)
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer assay_0000000000_" + "A" * 43},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer "},
        {"X-Forwarded-User": "admin", "X-Original-URL": "/healthz"},
    ],
)
def test_without_a_key_nothing_is_told(app, verb, path, said):
    answer = TestClient(app).request(verb, path, headers=said)
    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("verb", "path"), PATHS[6:])
def test_keys_are_for_admins(reader, verb, path):
    body = {"name": "n", "owner": "o"} if verb == "post" else None
    problem(reader.request(verb, path, json=body), 403, "forbidden")


def test_expired_and_revoked_keys_open_nothing(opened, engine):
    problem(opened("read", expires_at=int(time.time()) - 1).get("/v1/whoami"), 401, "unauthorized")
    client = opened("read")
    keys.revoke(engine, client.get("/v1/whoami").json()["key"])
    problem(client.get("/v1/whoami"), 401, "unauthorized")


def test_an_admin_makes_shows_and_revokes_keys(opened, app):
    admin = opened("admin")
    made = admin.post("/v1/keys", json={"name": "ci", "owner": "bob", "expires_in": 60})
    assert made.status_code == 201
    text, name = made.json()["key"], made.json()["id"]
    bob = TestClient(app, headers={"Authorization": f"Bearer {text}"})
    assert bob.get("/v1/whoami").json() == {
        "key": name,
        "owner": "bob",
        "scopes": ["read", "submit"],
    }
    assert text not in admin.get("/v1/keys").text
    assert admin.delete(f"/v1/keys/{name}").json()["revoked_at"]
    problem(bob.get("/v1/whoami"), 401, "unauthorized")
    problem(admin.delete("/v1/keys/key_none"), 404, "not_found")


# What is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"params": 1e9}, "/tokens"),
        ({**ASKED, "parms": 1}, "/parms"),
        ({**ASKED, "sequence": "long"}, "/sequence"),
        ({**ASKED, "sequence": 0}, "/sequence"),
    ],
)
def test_a_mistake_is_pointed_at(reader, body, pointer):
    found = problem(reader.post("/v1/recommendations", json=body), 422, "invalid_request")
    assert [one["pointer"] for one in found["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("recommendations", {"params": -1, "tokens": 1e11}, "params"),
        ("recommendations", {"params": 1e9, "tokens": 1e11, "experts": 8}, "active"),
        ("plans", {}, "one budget"),
        ("plans", {"money": 5}, "dollars"),
        ("plans", {"compute": 1e21, "hardware": "abacus"}, "H100"),
        ("plans", {"compute": 1e21, "law": "chinchila"}, "chinchilla"),
    ],
)
def test_what_no_law_can_answer_is_said_in_words(reader, path, body, said):
    found = problem(reader.post(f"/v1/{path}", json=body), 422, "invalid_request")
    assert said in found["detail"]


@pytest.mark.parametrize(
    "body", [b"{", b"", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"params": NaN, "tokens": 1e11}',
             b'{"params": 1e999, "tokens": 1e11}', b"[" * 50_000],
)  # fmt: skip
def test_a_body_that_is_no_request_is_refused(reader, body):
    answer = reader.post(
        "/v1/recommendations", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (400, 422)
    problem(answer, answer.status_code, answer.json()["code"])


def test_a_body_that_is_too_large_is_refused_whether_or_not_it_says_so(reader):
    problem(reader.post("/v1/plans", content=b" " * (LARGEST + 1)), 413, "too_large")

    def endless():
        for _ in range(LARGEST // 1000 + 2):
            yield b" " * 1000

    problem(reader.post("/v1/plans", content=endless()), 413, "too_large")


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/keys/../../etc/passwd", "/v1/%00", "/.."])
def test_what_is_not_there_is_not_there(reader, path):
    problem(reader.get(path), 404, "not_found")


def test_a_wrong_verb_names_the_right_one(reader):
    answer = reader.put("/v1/methods")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"
