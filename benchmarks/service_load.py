"""How fast the service answers, beside empty FastAPI routes of the same shape in the same process.

    python benchmarks/service_load.py [--seconds 10] [--connections 32] [--submit 1000]

Empty: the same request, read and checked by the same model, answered with a constant document of
the same size; no key, no database. The load comes from another process on this machine, over
connections that stay open. Recommendations are asked for 64 trainings in turn, so all but the first
64 answers are remembered ones; `cold` asks for another training each time. Prints JSON.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import tempfile
import time
from typing import Any

STREAM = "application/json"


def serve(home: str, port: int, ready: Any) -> None:
    """The service with two empty routes beside its own."""
    from fastapi import Path

    from assay.api import logs
    from assay.api.app import create_app
    from assay.api.documents import job_document
    from assay.api.serving import answer, assembled, bound
    from assay.api.settings import Service
    from assay.api.shapes import NewRecommendation
    from assay.jobs import access, database, store, worker
    from assay.jobs.roots import Roots
    from assay.scaling.commands import recommend_run
    from assay.scaling.opinions import Request

    logs.set_up("warning")
    found = database.database(f"sqlite:///{home}/home/assay.db")
    database.migrate(found)
    settings = Service(f"{home}/home", str(found.url), (home,), rate="100000000/minute")
    roots = Roots((home,))
    worker.start(found, roots, 1, 1)
    serving = assembled(settings, found, roots)
    app = create_app(serving)
    asked = {"method": "uniform", "raw": [f"{home}/raw"], "budget": "10%", "out": f"{home}/o"}
    job = store.submit(found, serving.queue.enqueue, "selection", "ada", asked, {})
    while store.find(found, job.id).status not in store.OVER:
        time.sleep(0.1)
    job = store.find(found, job.id)
    shown = job_document(job)
    advice = recommend_run(Request(params=1e9, tokens=1e11)).document

    @app.post("/empty/recommendations")
    async def empty_recommendation(body: NewRecommendation) -> dict[str, Any]:
        return advice

    @app.get("/empty/selections/{id}")
    async def empty_selection(id: str = Path(pattern="^sel_")) -> dict[str, Any]:  # noqa: A002
        return shown

    key = access.create(found, serving.pepper, "ada", ["read", "submit"]).text
    ready.put((key, job.id, job.status))
    answer(app, serving, bound("127.0.0.1", port))


async def load(
    port: int, requests: list[bytes], connections: int, seconds: float
) -> dict[str, float]:
    """Requests in turn over so many connections, for so long: rate and times."""
    times: list[float] = []
    bad = 0
    end = time.perf_counter() + seconds

    async def one(first: int) -> None:
        nonlocal bad
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        number = first
        while (begun := time.perf_counter()) < end:
            writer.write(requests[number % len(requests)])
            number += connections
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            times.append(time.perf_counter() - begun)
            bad += not head.startswith(b"HTTP/1.1 2")
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(one(n) for n in range(connections)))
    took = time.perf_counter() - begun
    times.sort()
    return {
        "rate": round(len(times) / took, 1),
        "p50_ms": round(1000 * times[len(times) // 2], 2),
        "p99_ms": round(1000 * times[int(len(times) * 0.99)], 2),
        "refused": bad,
    }


def post(path: str, body: dict[str, Any], key: str, extra: str = "") -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: "
        f"{STREAM}\r\n{extra}Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def get(path: str, key: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


def write_raw(folder: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    os.makedirs(f"{folder}/raw")
    texts = [f"document {n} of a few words" for n in range(50)]
    pq.write_table(pa.table({"text": texts}), f"{folder}/raw/a.parquet")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--submit", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        write_raw(home)
        context = multiprocessing.get_context("spawn")
        ready = context.Queue()
        process = context.Process(target=serve, args=(home, port, ready), daemon=True)
        process.start()
        key, job, status = ready.get(timeout=120)
        assert status == "succeeded", status
        time.sleep(2)
        print(json.dumps(measured(given, home, port, key, job), indent=1))
        process.kill()


def measured(given: argparse.Namespace, home: str, port: int, key: str, job: str) -> dict[str, Any]:
    bodies = [{"params": 1e9 + 1e7 * n, "tokens": 1e11} for n in range(64)]
    cold = [{"params": 1e9 + 1e5 * n, "tokens": 2e11} for n in range(20_000)]
    path = "/v1/recommendations"
    kinds = {
        "empty recommendation": [post("/empty/recommendations", b, key) for b in bodies],
        "recommendation": [post(path, b, key) for b in bodies],
        "recommendation, cold": [post(path, b, key) for b in cold],
        "empty selection": [get(f"/empty/selections/{job}", key)],
        "selection": [get(f"/v1/selections/{job}", key)],
    }
    found: dict[str, Any] = {"connections": given.connections, "load_average": os.getloadavg()[0]}
    for name, requests in kinds.items():
        asyncio.run(load(port, requests, given.connections, 1))  # warm
        found[name] = asyncio.run(load(port, requests, given.connections, given.seconds))
    for name in ("recommendation", "selection"):
        found[f"{name} over empty"] = round(found[name]["rate"] / found[f"empty {name}"]["rate"], 3)
    found["submitted"] = submitted(given.submit, home, port, key)
    return found


def submitted(count: int, home: str, port: int, key: str) -> dict[str, Any]:
    """So many jobs from 16 clients at once, then every one of them looked for."""
    from concurrent.futures import ThreadPoolExecutor

    import httpx

    url, headers = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {key}"}
    client = httpx.Client(base_url=url, headers=headers, timeout=60)

    def submit(number: int) -> str:
        body = {"method": "uniform", "raw": [f"{home}/raw"], "budget": "10%",
                "out": f"{home}/many/{number}"}  # fmt: skip
        told = client.post("/v1/selections", json=body, headers={"Idempotency-Key": f"s{number}"})
        assert told.status_code == 201, told.text
        return str(told.json()["id"])

    begun = time.perf_counter()
    with ThreadPoolExecutor(16) as pool:
        made = set(pool.map(submit, range(count)))
    took = time.perf_counter() - begun
    listed: set[str] = set()
    after = None
    while True:
        asked = {"limit": 100} | ({"after": after} if after else {})
        page = client.get("/v1/selections", params=asked).json()
        listed |= {job["id"] for job in page["data"]}
        after = page["last_id"]
        if not page["has_more"]:
            break
    return {"jobs": len(made), "lost": len(made - listed), "rate": round(count / took, 1)}


if __name__ == "__main__":
    main()
