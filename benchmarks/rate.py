"""What `assay rate` itself costs: requests a second and memory, against an endpoint that thinks for
no time at all, or for some, and one that fails half the time.

    python benchmarks/rate.py --raw POOL/*.parquet [--sample 2000] [--at-once 8]

The endpoint is the stub of the tests, in a process of its own. Prints a table.
"""

import argparse
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BAD = ["broken", "too_many", "hanging_up", "half", "nonsense", "off_scale", "prose"]
THINKS = 0.2  # seconds, of the endpoint that takes its time


def well(stub: Any, asked: Any, nth: int) -> str:
    return "well"


def thinking(stub: Any, asked: Any, nth: int) -> str:
    return "thinking"


def half_bad(stub: Any, asked: Any, nth: int) -> str:
    chance = random.Random(f"{asked['messages'][1]['content']} {nth}")
    return chance.choice(BAD) if chance.random() < 0.5 else "well"


MOODS = {"at once": well, f"after {THINKS} s": thinking, "fails half the time": half_bad}


def serve(mood: str, ready: Any) -> None:
    sys.path.insert(0, str(ROOT / "tests" / "rating"))
    import stub_endpoint

    def think(self: Any) -> None:
        time.sleep(THINKS)
        self.well()

    stub_endpoint.Handler.thinking = think
    made = stub_endpoint.Stub()
    made.mood = MOODS[mood]
    ready.send(made.url)
    ready.recv()


def measured(mood: str, given: argparse.Namespace) -> list[str]:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(mood, theirs), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        words = ["rate", "--raw", *given.raw, "--out", f"{folder}/r.parquet", "--model", "m"]
        words += ["--endpoint", ours.recv(), "--sample", str(given.sample), "--json"]
        words += ["--at-once", str(given.at_once), "--tries", "40"]
        program = [sys.executable, "-m", "assay.api", *words]
        environment = os.environ | {"NO_PROXY": "127.0.0.1"}
        done = subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, text=True)
        assert done.stdout is not None
        found = json.loads(done.stdout.read())
        _, status, used = os.wait4(done.pid, 0)
    ours.send(None)
    server.join()
    assert status == 0, status
    cpu, wall = used.ru_utime + used.ru_stime, found["seconds"]
    requests = found["spent"]["requests"]
    return [
        mood, f"{found['rated']}", f"{requests}", f"{wall:.1f}", f"{cpu:.1f}",
        f"{requests / wall:.0f}", f"{used.ru_maxrss / 1024:.0f}",
    ]  # fmt: skip


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--raw", nargs="+", required=True)
    asked.add_argument("--sample", type=int, default=2000)
    asked.add_argument("--at-once", type=int, default=8)
    given = asked.parse_args()
    head = ["endpoint", "rated", "requests", "wall s", "CPU s", "requests/s", "peak MB"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for mood in MOODS:
        print("| " + " | ".join(measured(mood, given)) + " |", flush=True)


if __name__ == "__main__":
    main()
