"""Latency and throughput of `serve` over offered load, against the bare session; and what overload does.

Run: python benchmarks/serving.py BUNDLE [--photos 60] [--clients 1,4,16,32] [--overload 20]

The bare session inverts the same photos one after the other in this process, from their files' bytes to a PNG's.
The service is a process of its own; this one sends photos over the loopback, from as many threads as there are
clients, each with a connection that it keeps. The median of one client's latency less the bare session's, photo by
photo in turn, is the service's overhead. Under overload ten times as many clients as may wait send as fast as they
are answered; only 200, 429 and 503 are right, and a second after it a photo must be answered as before.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from statistics import median

import numpy as np
import psutil
from PIL import Image

from hyperstyle_deploy.runtime.images import MAX_PIXELS, decode_photo
from hyperstyle_deploy.runtime.session import Session, load


def photo(seed: int) -> bytes:
    """A JPEG of 512 pixels, smooth as faces are."""
    small = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    stream = BytesIO()
    Image.fromarray(small).resize((512, 512), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=92)
    return stream.getvalue()


def bare(session: Session, content: bytes) -> float:
    """Seconds of one photo without a service."""
    started = time.perf_counter()
    inversion = session.invert(decode_photo(content, "photo", MAX_PIXELS))
    Image.fromarray(inversion.image).save(BytesIO(), "PNG", compress_level=4)
    inversion.to_bytes()
    return time.perf_counter() - started


def ask(connection: HTTPConnection, content: bytes) -> tuple[int, float]:
    """Status and seconds of one photo."""
    started = time.perf_counter()
    connection.request("POST", "/v1/invert", content, {"Accept": "image/png"})
    answer = connection.getresponse()
    answer.read()
    return answer.status, time.perf_counter() - started


def ask_once(address: tuple[str, int], content: bytes) -> tuple[int, float]:
    """The same over a connection of its own."""
    with closing(HTTPConnection(*address, timeout=300)) as connection:
        return ask(connection, content)


def offered(address: tuple[str, int], photos: list[bytes], clients: int) -> dict[str, float]:
    """Latency and throughput with that many clients at once."""

    def client(number: int) -> list[tuple[int, float]]:
        with closing(HTTPConnection(*address, timeout=300)) as connection:
            return [ask(connection, content) for content in photos[number::clients]]

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = [answer for answers in pool.map(client, range(clients)) for answer in answers]
    spent = time.perf_counter() - started
    assert {status for status, _ in answers} == {200}, Counter(status for status, _ in answers)
    seconds = sorted(each for _, each in answers)
    return {
        "clients": clients,
        "p50": median(seconds),
        "p99": float(np.quantile(seconds, 0.99)),
        "photos_per_second": len(photos) / spent,
    }


def overload(address: tuple[str, int], content: bytes, waiting: int, seconds: float) -> tuple[Counter, float]:
    """Answers by status under ten times of what may wait, and the seconds of a photo one second later."""
    until = time.perf_counter() + seconds

    def client(_: int) -> Counter:
        seen: Counter = Counter()
        while time.perf_counter() < until:
            seen[ask_once(address, content)[0]] += 1
        return seen

    with ThreadPoolExecutor(10 * waiting) as pool:
        statuses = sum(pool.map(client, range(10 * waiting)), Counter())
    time.sleep(1)
    status, spent = ask_once(address, content)
    assert status == 200, status
    return statuses, spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--clients", default="1,4,16,32")
    parser.add_argument("--waiting", type=int, default=32)
    parser.add_argument("--overload", type=float, default=20, help="seconds of it; 0 for none")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    photos = [photo(seed) for seed in range(arguments.photos)]
    options = ["--backend", arguments.backend, "--waiting", str(arguments.waiting), "--port", "0", "--deadline", "600"]
    command = [sys.executable, "-m", "hyperstyle_deploy", "serve", str(arguments.bundle), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://([\d.]+):(\d+)", process.stdout.readline())
        assert found is not None, "the service did not start"
        address = found[1], int(found[2])
        session = load(arguments.bundle, backend=arguments.backend)
        # In turn: what else the machine does meets both. The first three are not counted.
        with closing(HTTPConnection(*address)) as connection:
            pairs = [(ask(connection, content)[1], bare(session, content)) for content in photos[:3] + photos][3:]
        alone, one = (median(side) for side in zip(*pairs, strict=True))
        more = median(service - without for service, without in pairs)
        loads = [offered(address, photos, int(clients)) for clients in arguments.clients.split(",")]
        memory = psutil.Process(process.pid)
        before, open_before = memory.memory_info().rss, memory.num_fds()
        statuses, after = Counter(), 0.0
        if arguments.overload:
            statuses, after = overload(address, photos[0], arguments.waiting, arguments.overload)
        grown, files = memory.memory_info().rss - before, memory.num_fds() - open_before
        process.send_signal(signal.SIGTERM)
    result = {
        "session": str(session),
        "bare_seconds": one,
        "service_seconds": alone,
        "overhead_seconds": more,
        "overhead": more / one,
        "loads": loads,
        "overload": {
            "answers": dict(statuses),
            "recovered_in": after,
            "memory_grown": grown,
            "descriptors_grown": files,
        },
        "load_average": os.getloadavg()[0],
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    assert set(statuses) <= {200, 429, 503}, statuses


if __name__ == "__main__":
    main()
