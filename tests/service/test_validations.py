"""A validation as a job: its curve while it goes, its report, and what a kill costs."""

import json
import signal

import httpx
import pytest
from starlette.testclient import TestClient

from assay.api.app import create_app
from assay.api.serving import assembled
from assay.api.settings import Service
from assay.jobs import access, store
from assay.jobs.access import create
from assay.jobs.roots import Roots
from assay.scaling.proxy import needs
from assay.selectors.selection import select
from assay.selectors.spec import Spec

pytest.importorskip("torch", reason="trainings need the extra 'proxy'")


@pytest.fixture
def proof(tmp_path, make_service, rows_of, shards_of):
    """A service with a corpus, a subset of it and held-out text; and a request."""
    with make_service(tmp_path, f"sqlite:///{tmp_path}/home/assay.db") as service:
        rows = rows_of(1200)
        raw = shards_of(tmp_path / "raw", rows[:900], 2, 100)
        held = [row for row in rows[900:] if row["topic"] == "sums"]
        shards_of(tmp_path / "train", held[: len(held) // 2], 1, 100)
        shards_of(tmp_path / "test", held[len(held) // 2 :], 1, 100)
        target = {"t": (str(tmp_path / "train"),)}
        select(Spec("dsir", (str(raw),), "150docs", str(tmp_path / "kept"), target))
        service.asked = {
            "subset": str(tmp_path / "kept"), "raw": [str(raw)], "target": [str(tmp_path / "test")],
            "sizes": ["100K"], "arms": ["subset", "uniform"], "seeds": 1, "tokens": 3000,
            "sequence": 64, "batch": 4, "threads": 1, "target_bytes": 10_000,
        }  # fmt: skip
        yield service


def points(service, job):
    found = store.events(service.database, job, limit=1000)
    return [one.data for one in found if one.type == "point"]


def submit(service, out):
    asked = service.asked | {"out": str(service.folder / out)}
    return store.submit(service.database, service.queue.enqueue, "validation", "ada", asked, {}).id


def bits(folder):
    document = json.loads((folder / "report.json").read_text())
    return [row["seeds"] for row in document["arms"]], document["comparisons"][0]["gain"]["mean"]


def killed(proof):
    """A job whose worker was killed after its first training, and went on with another."""
    worker = proof.start("worker")
    job = submit(proof, "killed")
    folder = proof.folder / "killed"
    first = folder / "trainings" / "subset-100K-s0.json"
    proof.until(first.exists, 300)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    stamp = first.stat().st_mtime_ns
    assert not (folder / "report.json").exists()
    proof.start("worker")
    over = proof.over(job, 300)
    assert over.status == "succeeded", over.error
    assert first.stat().st_mtime_ns == stamp
    return over, job


def test_a_killed_worker_costs_no_training_that_was_finished(proof):
    over, job = killed(proof)
    assert over.result["comparisons"][0]["control"] == "uniform"
    seen = points(proof, job)
    assert {one["training"] for one in seen} == {"subset-100K-s0", "uniform-100K-s0"}
    assert seen[-1]["trainings"] == 2 and seen[-1]["done"] == 1
    curve = [one["bits_per_byte"] for one in seen if one["training"] == "uniform-100K-s0"]
    assert len(curve) > 3 and curve[-1] < curve[0] and all(one["loss"] > 0 for one in seen)


@pytest.mark.slow
def test_a_killed_worker_changes_no_bit_of_the_answer(proof):
    killed(proof)
    undisturbed = submit(proof, "whole")
    assert proof.over(undisturbed, 300).status == "succeeded"
    assert bits(proof.folder / "killed") == bits(proof.folder / "whole")


@pytest.mark.slow
def test_a_validation_over_the_wire(proof):
    server = proof.start("serve", "--port", proof.port)
    url = f"http://127.0.0.1:{proof.port}"
    secret = access.secret(str(proof.folder / "home"))
    key = create(proof.database, secret, "ada", ["read", "submit"], "", None).text
    head = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=head, timeout=60) as ada:
        proof.until(lambda: answers(url), process=server)
        asked = proof.asked | {"out": str(proof.folder / "wire")}
        made = ada.post("/v1/validations", json=asked)
        assert made.status_code == 201, made.text
        at = made.headers["Location"]
        assert ada.get(f"{at}/report").status_code == 409
        assert proof.over(made.json()["id"], 300).status == "succeeded"
        done = ada.get(at).json()
        assert done["result"]["format"] == "assay.validation/1"
        page = ada.get(done["links"]["report"])
        assert page.headers["content-type"].startswith("text/html") and "<svg" in page.text
        told = ada.get(f"{at}/events", params={"limit": 100}).json()["data"]
        assert any(one["type"] == "point" and one["data"]["loss"] for one in told)
        # Another, longer, is stopped in the middle.
        longer = asked | {"out": str(proof.folder / "longer"), "tokens": 400_000}
        second = ada.post("/v1/validations", json=longer).json()["id"]
        proof.until(lambda: points(proof, second), 300)
        assert ada.post(f"/v1/validations/{second}/cancel").json()["status"] == "cancelling"
        assert proof.over(second, 30).status == "cancelled"


def answers(url):
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def ada(proof):
    """A client of the app itself, without a socket."""
    home = str(proof.folder / "home")
    app = create_app(
        assembled(Service(home, proof.url), proof.database, Roots((str(proof.folder),)))
    )
    key = create(proof.database, access.secret(home), "ada", ["read", "submit"], "", None).text
    with TestClient(app, headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


def test_what_cannot_be_carried_out_is_refused_at_once(proof, ada):
    asked = proof.asked | {"out": str(proof.folder / "wire")}
    for wrong, status in (
        ({"out": "/etc/proof"}, 403),
        ({"raw": ["/etc/passwd"]}, 403),
        ({"choices": "/etc/passwd"}, 403),
        ({"tokenizer": "/etc/tokenizer.json"}, 403),
        ({"sizes": ["3M"]}, 422),
        ({"subset": "sel_" + "0" * 26}, 404),
    ):
        assert ada.post("/v1/validations", json=asked | wrong).status_code == status, wrong
    made = ada.post("/v1/validations", json=asked)
    assert made.status_code == 201 and made.json()["status"] == "queued"
    assert ada.get(f"{made.headers['Location']}/report").status_code == 409
    stopped = ada.post(f"{made.headers['Location']}/cancel")
    assert stopped.json()["status"] == "cancelled"


def test_a_server_without_torch_says_so(proof, ada, monkeypatch):
    monkeypatch.setattr(needs, "find_spec", lambda name: None)
    told = ada.post("/v1/validations", json=proof.asked | {"out": str(proof.folder / "none")})
    assert told.status_code == 422 and told.json()["code"] == "missing_torch"
    assert "assay[proxy]" in told.json()["detail"]
