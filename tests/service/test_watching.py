"""What those who watch the service are sent: traces, and logs without secrets."""

import http.server
import json
import threading

import httpx
import pytest

from assay.jobs import access


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes what OpenTelemetry exports, by OTLP over HTTP."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.seen.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()


@pytest.fixture
def watched(make_service, tmp_path):
    with make_service(tmp_path, f"sqlite:///{tmp_path}/home/assay.db") as service:
        yield service


def answers(service):
    try:
        return httpx.get(f"http://127.0.0.1:{service.port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_traces_reach_a_collector(watched, collector):
    watched.environment |= {
        "ASSAY_OTEL": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    watched.start("serve", "--port", watched.port)
    watched.until(lambda: answers(watched))
    watched.until(lambda: [1 for path, body in collector.seen
                           if path == "/v1/traces" and b"/healthz" in body], 30)  # fmt: skip


def test_logs_are_json_with_the_request_and_without_the_key(watched):
    watched.environment["ASSAY_LOG_LEVEL"] = "debug"
    pepper = access.secret(str(watched.folder / "home"))
    text = access.create(watched.database, pepper, "ada", ["read"]).text
    watched.start("serve", "--port", watched.port)
    watched.until(lambda: answers(watched))
    headers = {"Authorization": f"Bearer {text}", "X-Request-Id": "mine-7"}
    assert httpx.get(f"http://127.0.0.1:{watched.port}/v1/whoami", headers=headers).is_success

    def told():
        return [json.loads(line) for line in watched.stderr.read_text().splitlines()]

    # The line is written when the answer is on its way.
    mine = watched.until(lambda: [one for one in told() if one.get("request") == "mine-7"])
    assert mine[-1]["status"] == 200 and mine[-1]["path"] == "/v1/whoami"
    assert [line for line in told() if line["event"] == "listening"]
    text_of_all = watched.stderr.read_text()
    assert text not in text_of_all and text[6:] not in text_of_all
