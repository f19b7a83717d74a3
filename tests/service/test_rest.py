"""The REST API over a real socket, with a worker in the same process, as `assay serve` runs it."""

import json
import threading
import time

import httpx
import pytest

from assay.jobs import access, store
from assay.jobs.access import create


class Rest:
    """A server on loopback, and clients with keys."""

    def __init__(self, service):
        self.service = service
        self.process = service.start("serve", "--port", service.port)
        self.url = f"http://127.0.0.1:{service.port}"
        self.pepper = access.secret(str(service.folder / "home"))
        self.ada = self.client("ada", ["read", "submit", "admin"])
        service.until(self.answers)

    def answers(self):
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def key(self, owner, scopes, expires_at=None):
        return create(self.service.database, self.pepper, owner, scopes, "", expires_at).text

    def client(self, owner, scopes):
        headers = {"Authorization": f"Bearer {self.key(owner, scopes)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def asked(self, out, **more):
        folder = self.service.folder
        return {"method": "uniform", "raw": [str(folder / "raw")], "budget": "10%",
                "out": str(folder / out)} | more  # fmt: skip

    def over(self, job):
        def look():
            found = self.ada.get(f"/v1/selections/{job}").json()
            return found["status"] in ("succeeded", "failed", "cancelled") and found

        return self.service.until(look, 60)


@pytest.fixture(scope="module")
def rest(tmp_path_factory, make_service, rows_of, shards_of):
    folder = tmp_path_factory.mktemp("rest")
    with make_service(folder, f"sqlite:///{folder}/home/assay.db") as service:
        shards_of(folder / "raw", rows_of(200), 4, 20)
        shards_of(folder / "target", rows_of(20), 1, 20)
        yield Rest(service)


@pytest.fixture(scope="module")
def done(rest):
    """A selection that has succeeded."""
    made = rest.ada.post("/v1/selections", json=rest.asked("done", metadata={"run": "first"}))
    assert made.status_code == 201, made.text
    found = rest.over(made.json()["id"])
    assert found["status"] == "succeeded", found
    return found


def test_a_selection_is_submitted_carried_out_and_read(rest, done):
    assert done["progress"]["shards"] == {"total": 4, "completed": 4}
    assert done["result"]["spent"]["documents"] == 20 and done["metadata"] == {"run": "first"}
    base = f"/v1/selections/{done['id']}"
    manifest = rest.ada.get(f"{base}/manifest").json()
    assert manifest["digest"] == done["result"]["digest"]
    assert rest.ada.get(f"{base}/stats").json()["spent"]["documents"] == 20
    assert rest.ada.get(f"{base}/quarantine").json()["data"] == []
    asked = rest.ada.post(f"{base}/what-if", json={"budgets": ["5%", "20%"]}).json()
    assert [b["kept"]["documents"] for b in asked["budgets"]] == [10, 40]
    told = rest.ada.get(f"{base}/documents/doc-00001/explanation").json()
    assert told["id"] == "doc-00001" and told["kept"] in (True, False)
    same = rest.ada.post("/v1/selection-diffs", json={"a": done["id"], "b": done["id"]}).json()
    assert same["same"] is True


def test_an_etag_spares_the_answer(rest, done):
    first = rest.ada.get(f"/v1/selections/{done['id']}")
    again = rest.ada.get(
        f"/v1/selections/{done['id']}", headers={"If-None-Match": first.headers["etag"]}
    )
    assert again.status_code == 304 and again.content == b""
    assert again.headers["etag"] == first.headers["etag"]


def test_events_are_a_list_and_a_stream_that_goes_on_where_it_broke(rest, done):
    url = f"/v1/selections/{done['id']}/events"
    listed = rest.ada.get(url).json()["data"]
    assert [event["id"] for event in listed] == list(range(1, len(listed) + 1))
    assert listed[0]["message"] == "queued" and listed[-1]["data"]["status"] == "succeeded"
    assert rest.ada.get(url, params={"after": 2, "limit": 1}).json()["data"] == listed[2:3]
    streamed = rest.ada.get(url, headers={"Accept": "text/event-stream", "Last-Event-ID": "2"})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    lines = streamed.text.splitlines()
    assert [line for line in lines if line.startswith("id: ")] == [
        f"id: {event['id']}" for event in listed[2:]
    ]
    assert [json.loads(line[6:]) for line in lines if line.startswith("data: ")] == listed[2:]


def test_lists_are_walked_by_cursor(rest, done):
    made = [rest.ada.post("/v1/selections", json=rest.asked(f"list{n}")).json() for n in range(3)]
    walked, after = [], None
    while True:
        page = rest.ada.get(
            "/v1/selections", params={"limit": 2} | ({"after": after} if after else {})
        )
        walked += [one["id"] for one in page.json()["data"]]
        after = page.json()["last_id"]
        if not page.json()["has_more"]:
            break
    assert walked == sorted(walked, reverse=True) and {m["id"] for m in made} <= set(walked)
    picked = rest.ada.get("/v1/selections", params={"metadata[run]": "first"}).json()["data"]
    assert [one["id"] for one in picked] == [done["id"]]
    for one in made:
        rest.over(one["id"])


def test_a_key_of_idempotency_makes_one_job(rest):
    body, headers = rest.asked("once"), {"Idempotency-Key": "k-1"}
    first = rest.ada.post("/v1/selections", json=body, headers=headers)
    again = rest.ada.post("/v1/selections", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    other = rest.ada.post("/v1/selections", json=body | {"seed": 1}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "key_used_otherwise")
    rest.over(first.json()["id"])


def test_a_key_in_flight_is_a_conflict(rest):
    from assay.api.routes.common import once_of

    class Sent:
        method = "POST"

        class url:
            path = "/v1/targets"

    body = {"name": "n", "uris": [str(rest.service.folder / "target")], "text_column": "text"}
    store.reserve(rest.service.database, "ada", once_of(Sent, "k-flight", body))
    told = rest.ada.post("/v1/targets", json=body, headers={"Idempotency-Key": "k-flight"})
    assert (told.status_code, told.json()["retryable"]) == (409, True)
    assert told.headers["retry-after"]


def test_a_dry_run_tells_and_writes_nothing(rest):
    told = rest.ada.post("/v1/selections?dry_run=true", json=rest.asked("dry"))
    assert told.status_code == 200 and told.json()["raw"]["rows"] == 200
    assert not (rest.service.folder / "dry").exists()


def test_a_target_is_named_and_used(rest):
    folder = rest.service.folder
    made = rest.ada.post("/v1/targets", json={"name": "t", "uris": [str(folder / "target")]})
    assert made.status_code == 201 and made.json()["rows"] == 20
    body = rest.asked("by-target", method="dsir", target=[made.json()["id"]])
    found = rest.over(rest.ada.post("/v1/selections", json=body).json()["id"])
    assert found["status"] == "succeeded", found["error"]
    assert found["request"]["target"] == {"target": [str(folder / "target")]}
    assert rest.ada.delete(f"/v1/targets/{made.json()['id']}").status_code == 204
    assert rest.ada.get(f"/v1/targets/{made.json()['id']}").status_code == 404


def test_scores_of_an_earlier_selection_are_used_by_its_id(rest, done):
    stages = [{"method": "uniform", "keep": "50%"}, {"method": "dedup"}]
    body = rest.asked("blended", method="blend", stages=stages, scores={"first": done["id"]},
                      settings={"methods": "scores/first"})  # fmt: skip
    found = rest.over(rest.ada.post("/v1/selections", json=body).json()["id"])
    assert found["status"] == "succeeded", found["error"]
    assert found["request"]["scores"] == {"first": done["request"]["out"]}
    eve = rest.client("eve", ["read", "submit"])
    assert eve.post("/v1/selections", json=body).status_code == 404


def test_a_manifest_that_was_changed_in_storage_leads_nowhere(rest):
    job = rest.over(rest.ada.post("/v1/selections", json=rest.asked("forged")).json()["id"])["id"]
    url, path = f"/v1/selections/{job}", rest.service.folder / "forged" / "manifest.json"
    made = json.loads(path.read_text())
    path.write_text(json.dumps(made | {"run": made["run"] | {"raw": ["/etc/passwd"]}}))
    told = rest.ada.get(f"{url}/documents/doc-00001/explanation")
    assert (told.status_code, told.json()["code"]) == (403, "outside"), told.text
    path.write_text(json.dumps(made | {"digest": "sha256:" + "0" * 64}))
    assert rest.ada.get(f"{url}/manifest").status_code == 409
    path.write_text("{")
    assert rest.ada.get(f"{url}/manifest").status_code in (409, 422)
    path.unlink()
    assert rest.ada.get(f"{url}/manifest").status_code == 409


def test_a_fit_is_a_job_too(rest):
    rows = [
        {"params": n, "tokens": d, "loss": 1.7 + 400 / n**0.34 + 410 / d**0.28}
        for n in (1e7, 3e7, 1e8, 3e8, 1e9) for d in (1e9, 4e9, 2e10, 8e10)
    ]  # fmt: skip
    made = rest.ada.post("/v1/fits", json={"law": "chinchilla", "rows": rows, "bootstrap": 20})
    assert made.status_code == 201, made.text
    url = f"/v1/fits/{made.json()['id']}"
    found = rest.service.until(
        lambda: (f := rest.ada.get(url).json())["status"] in ("succeeded", "failed") and f, 120
    )
    assert found["status"] == "succeeded", found["error"]
    assert abs(found["result"]["parameters"]["alpha"]["value"] - 0.34) < 0.02
    refused = rest.ada.post("/v1/fits", json={"law": "chinchila", "rows": rows})
    assert refused.status_code == 422 and "chinchilla" in refused.json()["detail"]


def test_advice_comes_at_once(rest):
    told = rest.ada.post("/v1/recommendations", json={"params": 1e9, "tokens": 1e11})
    assert told.status_code == 200 and told.json()["learning_rate"]["value"] > 0
    plan = rest.ada.post("/v1/plans", json={"compute": 1e22}).json()
    assert plan["dense"]["params"]["value"] > 1e9
    assert len(rest.ada.get("/v1/laws").json()["data"]) > 40
    methods = {m["name"]: m for m in rest.ada.get("/v1/methods").json()["data"]}
    assert "orders" in methods["dsir"]["schema"]["properties"]


def test_a_plug_ins_settings_are_in_the_openapi_document(rest):
    document = rest.ada.get("/openapi.json").json()
    found = document["components"]["schemas"]["SelectionByWatched"]["properties"]
    assert "pause" in json.dumps(found["settings"])


def test_problems_point_into_the_request(rest):
    told = rest.ada.post("/v1/selections", json=rest.asked("x", seed="many", colour="red"))
    assert told.status_code == 422
    assert told.headers["content-type"] == "application/problem+json"
    pointers = {error.get("pointer") for error in told.json()["errors"]}
    assert {"#/uniform/seed", "#/uniform/colour"} <= pointers or {"#/seed", "#/colour"} <= pointers
    assert told.json()["request_id"] == told.headers["x-request-id"]
    mistyped = rest.asked("x", method="dsir", settings={"order": 1}, target=["t"])
    told = rest.ada.post("/v1/selections", json=mistyped)
    assert told.status_code == 422 and "orders" in told.json()["detail"]


def test_keys_are_made_used_and_revoked_over_http(rest):
    made = rest.ada.post("/v1/keys", json={"owner": "bob", "scopes": ["read"]}).json()
    bob = httpx.Client(base_url=rest.url, headers={"Authorization": f"Bearer {made['key']}"})
    assert bob.get("/v1/whoami").json() == {
        "key": made["id"], "owner": "bob", "scopes": ["read"]
    }  # fmt: skip
    assert made["key"] not in rest.ada.get("/v1/keys").text
    assert rest.ada.delete(f"/v1/keys/{made['id']}").json()["status"] == "revoked"
    assert bob.get("/v1/whoami").status_code == 401


def test_who_watches_sees_counts(rest, done):
    told = rest.ada.get("/metrics").text
    assert 'assay_jobs{kind="selection",status="succeeded"}' in told
    assert 'route="/v1/selections/{id}"' in told and "assay_workers 1.0" in told
    ready = rest.ada.get("/readyz")
    assert ready.status_code == 200 and ready.json()["checks"]["workers"] == "ok"


def test_a_job_that_is_over_is_forgotten_with_its_outputs_only_if_asked(rest):
    folder = rest.service.folder
    for purge in (False, True):
        job = rest.ada.post("/v1/selections", json=rest.asked(f"gone{purge}")).json()["id"]
        rest.over(job)
        url = f"/v1/selections/{job}?purge_outputs={str(purge).lower()}"
        assert rest.ada.delete(url).status_code == 204
        assert rest.ada.get(f"/v1/selections/{job}").status_code == 404
        assert (folder / f"gone{purge}" / "manifest.json").exists() is not purge


def test_only_what_a_job_wrote_is_deleted_with_it(rest):
    folder = rest.service.folder
    mine = rest.over(rest.ada.post("/v1/selections", json=rest.asked("same")).json()["id"])
    eve = rest.client("eve", ["read", "submit"])
    hers = eve.post("/v1/selections", json=rest.asked("same", budget="50%")).json()["id"]
    rest.service.until(lambda: eve.get(f"/v1/selections/{hers}").json()["status"] == "failed")
    assert eve.delete(f"/v1/selections/{hers}?purge_outputs=true").status_code == 204
    assert rest.ada.get(f"/v1/selections/{mine['id']}/manifest").status_code == 200
    again = rest.over(rest.ada.post("/v1/selections", json=rest.asked("same")).json()["id"])
    made = json.loads((folder / "same" / "manifest.json").read_text())
    made["request"]["seed"] = 9  # another selection has the folder by now
    (folder / "same" / "manifest.json").write_text(json.dumps(made))
    told = rest.ada.delete(f"/v1/selections/{again['id']}?purge_outputs=true")
    assert (told.status_code, told.json()["code"]) == (422, "other_selection")
    assert (folder / "same" / "part-00000.parquet").exists()


def test_an_output_inside_another_ones_folders_is_refused(rest, done):
    inside = rest.asked("done/fit/run1")
    found = rest.over(rest.ada.post("/v1/selections", json=inside).json()["id"])
    assert found["status"] == "failed" and "deleted with it" in found["error"]["message"]


def test_a_key_of_idempotency_is_free_again_when_its_job_is_deleted(rest):
    headers = {"Idempotency-Key": "again"}
    first = rest.ada.post("/v1/selections", json=rest.asked("free"), headers=headers).json()["id"]
    rest.over(first)
    assert rest.ada.delete(f"/v1/selections/{first}").status_code == 204
    second = rest.ada.post("/v1/selections", json=rest.asked("free"), headers=headers)
    assert second.status_code == 201 and second.json()["id"] != first
    rest.over(second.json()["id"])


def test_targets_are_written_as_in_a_spec_file(rest):
    target = str(rest.service.folder / "target")
    for number, wanted in enumerate((target, [target], {"sums": target}, {"sums": [target]})):
        body = rest.asked(f"spelt{number}", method="dsir", target=wanted)
        told = rest.ada.post("/v1/selections?dry_run=true", json=body)
        assert told.status_code == 200, told.text
    told = rest.ada.post("/v1/selections", json=rest.asked("x", target={"sums": 7}))
    assert told.json()["errors"][0]["pointer"] == "#/target/sums", told.json()


def test_what_cannot_work_is_not_tried_again_and_again(rest):
    (rest.service.folder / "a-file").write_text("here")
    begun = time.monotonic()
    body = rest.asked("a-file/out")
    job = rest.ada.post("/v1/selections", json=body).json()["id"]
    found = rest.over(job)
    assert found["status"] == "failed" and found["error"]["retryable"] is False, found["error"]
    assert time.monotonic() - begun < 15


def test_a_stream_ends_with_the_key_that_opened_it(rest):
    made = rest.ada.post("/v1/keys", json={"owner": "ada", "scopes": ["read"]}).json()
    body = rest.asked("slow", method="watched", settings={"pause": 0.5})
    job = rest.ada.post("/v1/selections", json=body).json()["id"]
    headers = {"Authorization": f"Bearer {made['key']}", "Accept": "text/event-stream"}
    url = f"{rest.url}/v1/selections/{job}/events"
    with httpx.stream("GET", url, headers=headers, timeout=60) as lines:
        assert lines.status_code == 200
        rest.ada.delete(f"/v1/keys/{made['id']}")
        told = "\n".join(lines.iter_lines())
    assert "succeeded" not in told
    assert rest.over(job)["status"] == "succeeded"


def test_odd_requests_are_told_what_is_odd(rest):
    deep = {"a": 1}
    for _ in range(300):
        deep = {"a": [deep]}
    for url, body in (
        ("/v1/selections", rest.asked("x", settings=deep)),
        ("/v1/fits", {"law": "chinchilla", "rows": [deep]}),
        ("/v1/selections", rest.asked("x", metadata={'a"b': "x"})),
        ("/v1/keys", {"owner": "z", "scopes": ["read"], "days": 1e300}),
    ):
        told = rest.ada.post(url, content=json.dumps(body))
        assert told.status_code == 422, (url, told.status_code, told.text[:300])
    assert rest.ada.get("/v1/keys").status_code == 200


# None gets in --------------------------------------------------------------------------------


def test_without_a_good_key_nothing_is_told(rest, done):
    expired = rest.key("ada", ["read"], time.time() + 0.2)
    time.sleep(0.3)
    good = rest.ada.headers["authorization"].removeprefix("Bearer ")
    bad = [
        {}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": good},
        {"Authorization": f"Basic {good}"}, {"Authorization": f"Bearer {good}x"},
        {"Authorization": f"Bearer {good[:-1]}"}, {"Authorization": f"Bearer {expired}"},
        {"Authorization": "Bearer ' OR 1=1 --"}, {"Authorization": "Bearer " + "A" * 5000},
        {"X-Api-Key": good}, {"Cookie": f"key={good}"}, {"X-Forwarded-User": "ada"},
    ]  # fmt: skip
    for headers in bad:
        for url in (f"/v1/selections/{done['id']}", "/v1/selections", "/v1/keys", "/v1/whoami"):
            told = httpx.get(rest.url + url, headers=headers)
            assert told.status_code == 401 and told.headers["www-authenticate"], headers
    twice = [("Authorization", f"Bearer {good}"), ("Authorization", "Bearer assay_x")]
    assert httpx.get(f"{rest.url}/v1/whoami", headers=twice).status_code == 401
    assert httpx.get(f"{rest.url}/v1/whoami?key={good}").status_code == 401


def test_another_owner_sees_nothing(rest, done):
    eve = rest.client("eve", ["read", "submit", "admin"])
    job = done["id"]
    for url in (f"/v1/selections/{job}{end}" for end in (
        "", "/events", "/manifest", "/stats", "/quarantine", "/documents/doc-00001/explanation"
    )):  # fmt: skip
        assert eve.get(url).status_code == 404
    for url in (f"/v1/selections/{job}/cancel", f"/v1/selections/{job}/resume"):
        assert eve.post(url).status_code == 404
    assert eve.post(f"/v1/selections/{job}/what-if", json={"budgets": ["1%"]}).status_code == 404
    assert eve.post("/v1/selection-diffs", json={"a": job, "b": job}).status_code == 404
    assert eve.delete(f"/v1/selections/{job}?purge_outputs=true").status_code == 404
    assert eve.get("/v1/selections").json()["data"] == []
    assert eve.get("/v1/selections", params={"after": job}).json()["data"] == []
    stolen = eve.post("/v1/selections", json=rest.asked("once"), headers={"Idempotency-Key": "k-1"})
    assert stolen.status_code == 201 and "idempotent-replayed" not in stolen.headers


def test_scopes_hold(rest, done):
    reader, submitter = rest.client("ada", ["read"]), rest.client("ada", ["submit"])
    job = done["id"]
    assert reader.get(f"/v1/selections/{job}").status_code == 200
    for told in (
        reader.post("/v1/selections", json=rest.asked("scope")),
        reader.post(f"/v1/selections/{job}/cancel"), reader.delete(f"/v1/selections/{job}"),
        reader.post("/v1/targets", json={"name": "t", "uris": ["x"]}),
        reader.get("/v1/keys"), submitter.get("/v1/keys"), submitter.get("/v1/selections"),
        submitter.post("/v1/keys", json={"owner": "ada", "scopes": ["admin"]}),
    ):  # fmt: skip
        assert (told.status_code, told.json()["code"]) == (403, "wrong_scope")


def test_no_address_leads_outside_the_roots(rest, tmp_path):
    folder = rest.service.folder
    (folder / "way-out").symlink_to("/etc")
    (folder / "links").mkdir(exist_ok=True)
    (folder / "links" / "shard.parquet").symlink_to("/etc/hostname")
    away = [
        "/etc/passwd", "/", "", "~", "~root/x", "../..", f"{folder}/../x", f"{folder}/raw/../../x",
        f"{folder}/./raw", f"{folder}-sibling", f"file://{folder}/../../etc", "file:///etc/passwd",
        f"{folder}/way-out/passwd", f"{folder}/way-out", f"{folder}/%2e%2e/x",
        "http://169.254.169.254/latest/meta-data", "https://example.com/x.parquet",
        "s3://169.254.169.254/latest", "s3://bucket/x", "gs://metadata.google.internal/x",
        "ftp://x/y", "memory://x/y", "/proc/self/environ", "/dev/stdin", "raw\x00", "\ud800",
        f"{folder}/home/assay.db", f"{folder}/home", f"{folder}/home/secret",
        f"{folder}/../" + folder.name + "/raw", "\\\\host\\share", "/e??/passwd", "/etc/*",
    ]  # fmt: skip
    for uri in away:
        for body in (
            rest.asked("x", raw=[uri]), rest.asked(uri) | {"out": uri},
            rest.asked("x", target={"t": [uri]}), rest.asked("x", scores={"s": uri}),
        ):  # fmt: skip
            content = json.dumps(body)
            for url in ("/v1/selections", "/v1/selections?dry_run=true"):
                told = rest.ada.post(url, content=content)
                assert told.status_code in (403, 422), (uri, told.status_code, told.text)
        told = rest.ada.post("/v1/targets", content=json.dumps({"name": "t", "uris": [uri]}))
        assert told.status_code in (403, 422), (uri, told.text)
        told = rest.ada.post("/v1/fits", content=json.dumps({"law": "chinchilla", "runs": uri}))
        assert told.status_code in (403, 422), (uri, told.text)
    for out in (str(folder), f"{folder}/", f"{folder}/*"):
        told = rest.ada.post("/v1/selections", json=rest.asked("x") | {"out": out})
        assert told.status_code == 403, out
    through = rest.asked("linked", raw=[str(folder / "links")])
    assert rest.ada.post("/v1/selections?dry_run=true", json=through).status_code == 403
    found = rest.over(rest.ada.post("/v1/selections", json=through).json()["id"])
    assert found["status"] == "failed" and found["error"]["code"] == "outside"


def test_large_and_broken_bodies_are_refused(rest):
    big = b'{"name": "' + b"a" * 1_100_000 + b'"}'
    for content in (big, iter([big])):  # with its length, and without
        told = rest.ada.post("/v1/targets", content=content)
        assert (told.status_code, told.json()["code"]) == (413, "too_large")
    broken = [
        b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b'{"name": NaN}', b"[" * 5000,
        b'{"name":"a","name":"b"}', b'{"a":' * 2000 + b"1" + b"}" * 2000, b'{"name": "\\ud800"}',
    ]  # fmt: skip
    for content in broken:
        for url in ("/v1/selections", "/v1/targets", "/v1/fits", "/v1/keys", "/v1/plans"):
            told = rest.ada.post(url, content=content)
            assert told.status_code in (400, 422), (content[:20], url, told.status_code)
            assert told.json()["code"]
    told = rest.ada.post("/v1/keys", content=b"a=b", headers={"Content-Type": "text/xml"})
    assert told.status_code in (400, 415, 422)


def test_headers_play_no_tricks(rest, done):
    url = f"/v1/selections/{done['id']}"
    for name in ("x\x7f", "a b", "é".encode().decode("latin1"), "x" * 300):
        told = rest.ada.get(url, headers={"X-Request-Id": name.encode("latin1")})
        # The server's own parser may refuse a control character before we see it.
        assert told.status_code == 400 or told.headers["x-request-id"].startswith("req_")
    assert rest.ada.get(url, headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    for headers in ({"Idempotency-Key": "x" * 300}, {"Idempotency-Key": "a b"}):
        assert (
            rest.ada.post("/v1/selections", json=rest.asked("x"), headers=headers).status_code
            == 422
        )
    for value in ("-1", "x", "9" * 40, "1; drop"):
        told = rest.ada.get(f"{url}/events", headers={"Last-Event-ID": value})
        assert told.status_code == 422
    for method in ("X-HTTP-Method-Override", "X-Method-Override"):
        assert rest.ada.get(url, headers={method: "DELETE"}).json()["id"] == done["id"]
    for path in ("/v1/../v1/keys", "/v1/selections/..%2f..%2fkeys", "/v1/selections/sel_%00",
                 "/v1//selections", "/v1/selections/" + "A" * 3000):  # fmt: skip
        told = httpx.get(rest.url + path)
        assert told.status_code in (401, 404, 422), path


def test_a_key_that_asks_too_fast_is_slowed(make_service, tmp_path):
    with make_service(tmp_path, f"sqlite:///{tmp_path}/home/assay.db") as service:
        service.environment["ASSAY_RATE"] = "5/minute"
        rest = Rest(service)
        found = [rest.ada.get("/v1/whoami") for _ in range(7)]
        assert [one.status_code for one in found] == [200] * 5 + [429] * 2
        assert int(found[-1].headers["retry-after"]) > 0 and found[-1].json()["retryable"]
        assert rest.client("bob", ["read"]).get("/v1/whoami").status_code == 200


def twice_each(rest, count):
    """Ids of so many jobs, each submitted by two at one moment with the same Idempotency-Key."""
    made = {}

    def submit(number):
        body, headers = rest.asked(f"many{number}"), {"Idempotency-Key": f"many-{number}"}
        with rest.client("ada", ["read", "submit"]) as client:
            while (
                told := client.post("/v1/selections", json=body, headers=headers)
            ).status_code == 409:
                time.sleep(0.05)
            made.setdefault(number, set()).add(told.json()["id"])

    threads = [threading.Thread(target=submit, args=(n,)) for n in range(count) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(found) for found in made.values()] == [1] * count
    ids = {job for found in made.values() for job in found}
    assert len(ids) == count
    return ids


def test_many_submit_at_once_and_nothing_is_lost_or_done_twice(rest):
    assert {rest.over(job)["status"] for job in twice_each(rest, 12)} == {"succeeded"}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_workers_do_two_hundred_jobs_each_once(service, rows_of, shards_of):
    shards_of(service.folder / "raw", rows_of(40), 2, 20)
    rest = Rest(service)
    service.start("worker")
    ids = twice_each(rest, 200)
    service.until(lambda: all(service.job(job).status in store.OVER for job in ids), 600)
    for job in ids:
        events = [event.message for event in store.events(service.database, job)]
        assert (events.count("running"), events.count("succeeded")) == (1, 1), events
    workers = {service.job(job).worker for job in ids}
    assert len(workers) == 2
    assert len(list(service.folder.glob("many*/manifest.json"))) == 200
    assert "locked" not in service.stderr.read_text()
