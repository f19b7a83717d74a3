"""The database is away for a while: jobs wait for it, and end as they would have."""

import time

import httpx

from assay.selectors import manifest


def test_a_database_that_is_away_for_some_seconds_costs_nothing(
    own_postgres, make_service, tmp_path, rows_of, shards_of
):
    raw = str(shards_of(tmp_path / "raw", rows_of(240), 6, 20))
    with make_service(tmp_path, own_postgres.fresh()) as service:
        process = service.start("serve", "--port", service.port)
        job = service.submit("out", raw=[raw], settings={"pause": 0.4})
        service.until(lambda: service.recorded(job) >= 1)
        own_postgres.stop()
        told = httpx.get(f"http://127.0.0.1:{service.port}/readyz")
        assert told.status_code == 503 and told.json()["checks"]["database"] == "does not answer"
        headers = {"Authorization": "Bearer assay_" + "x" * 43}
        told = httpx.get(f"http://127.0.0.1:{service.port}/v1/whoami", headers=headers)
        assert (told.status_code, told.json()["code"]) == (503, "database_away")
        time.sleep(4)
        own_postgres.start()
        service.database.engine.dispose()
        assert service.over(job).status == "succeeded", service.job(job).error
        assert manifest.verify(manifest.read(str(tmp_path / "out"))) == []
        assert process.poll() is None
        assert httpx.get(f"http://127.0.0.1:{service.port}/readyz").status_code == 200
