"""A server on loopback that speaks the chat completions protocol, well or badly as it is told."""

import hashlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SENT, GOT = 1000, 20  # tokens that each answer is billed for


def points_of(text, rubrics):
    """What the stub thinks of a text: plain arithmetic on its hash."""
    digest = hashlib.sha256(text.encode()).digest()
    return {name: digest[place] % 6 for place, name in enumerate(rubrics)}


def passage_of(asked):
    """The text between the marks."""
    lines = asked["messages"][1]["content"].split("\n")
    return "\n".join(lines[1:-1])


class Stub:
    """Behaves as `mood` says of each request: a word for one of the methods of Handler."""

    def __init__(self):
        self.mood = lambda stub, asked, nth: "well"
        self.lock = threading.Lock()
        self.seen = Counter()  # requests by body
        self.moods = Counter()
        self.headers = []
        self.asked = []
        self.billed = 0  # requests that cost something here
        self.open = self.most_open = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.stub = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    @property
    def requests(self):
        return sum(self.seen.values())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        stub = self.server.stub
        body = self.rfile.read(int(self.headers["content-length"]))
        with stub.lock:
            stub.seen[body] += 1
            stub.open += 1
            stub.most_open = max(stub.most_open, stub.open)
            stub.headers.append(dict(self.headers))
            self.asked = json.loads(body)
            stub.asked.append(self.asked)
            mood = stub.mood(stub, self.asked, stub.seen[body])
            stub.moods[mood] += 1
        try:
            assert self.path == "/v1/chat/completions", self.path
            getattr(self, mood)()
        finally:
            with stub.lock:
                stub.open -= 1

    # Well

    def well(self):
        self.answer(json.dumps(self.points()))

    def fenced(self):
        self.answer(f"Here you are:\n```json\n{json.dumps(self.points())}\n```")

    def slowly(self):
        time.sleep(0.05)
        self.well()

    def for_free(self):
        """Without a word on what it cost."""
        self.answer(json.dumps(self.points()), usage=None)

    # Badly

    def off_scale(self):
        self.answer(json.dumps(dict.fromkeys(self.points(), 17)))

    def incomplete(self):
        self.answer("{}")

    def prose(self):
        self.answer("I would call it rather good.")

    def cut_off(self):
        self.answer('{"language": ', finish="length")

    def refusing(self):
        self.answer(None, refusal="I cannot help with that.")

    def broken(self):
        self.send(500, b"<html>oops</html>")

    def busy(self):
        self.send(503, b"", {"Retry-After": "0.1"})

    def too_many(self):
        self.error(429, "Rate limit reached", "rate_limit_exceeded")

    def out_of_money(self):
        self.error(429, "You exceeded your current quota", "insufficient_quota")

    def no_right(self):
        key = self.headers["authorization"].removeprefix("Bearer ")
        self.error(401, f"Incorrect API key provided: {key}", "invalid_api_key")

    def too_long(self):
        self.error(400, "This model's maximum context length is 8 tokens", "context_length")

    def moved(self):
        self.send(308, b"", {"Location": "http://127.0.0.1:9/v2/chat/completions"})

    def hanging_up(self):
        """The text was read, and perhaps rated; nobody will know."""
        self.server.stub.billed += 1
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True

    def half(self):
        """The connection ends in the midst of the answer."""
        self.server.stub.billed += 1
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"choices": [')
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def endless(self):
        self.send_response(200)
        self.send_header("Content-Length", str(1 << 40))
        self.end_headers()
        try:
            while True:
                self.wfile.write(b" " * 65536)
        except OSError:
            self.close_connection = True

    def dripping(self):
        """A byte now and then: no single wait is long."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        try:
            for _ in range(200):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass
        self.close_connection = True

    def nonsense(self):
        self.send(200, b'{"choices": []}')

    def points(self):
        form = self.asked["response_format"]["json_schema"]
        assert form["strict"] is True
        return points_of(passage_of(self.asked), form["schema"]["required"])

    def answer(self, content, usage=(SENT, GOT), finish="stop", refusal=None):
        with self.server.stub.lock:
            self.server.stub.billed += 1
        message = {"role": "assistant", "content": content, "refusal": refusal}
        told = {"id": "1", "object": "chat.completion", "model": self.asked["model"]}
        told["choices"] = [{"index": 0, "message": message, "finish_reason": finish}]
        if usage:
            told["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
        self.send(200, json.dumps(told).encode())

    def error(self, status, message, code):
        told = {"error": {"message": message, "type": code, "code": code}}
        self.send(status, json.dumps(told).encode())

    def send(self, status, content, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass
