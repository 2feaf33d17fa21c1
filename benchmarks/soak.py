"""What `serve` does under ten times its load, and over a long time with bad requests among the good ones.

Run: python benchmarks/soak.py BUNDLE [--overload 60] [--minutes 30] [--clients 4] [--bad 0.05] [--json FILE]

First overload: ten times as many clients as may wait send photos as fast as they are answered. Only 200, 429 and 503
are right. When they end, photos are sent one after the other until one takes at most twice the median before; the
seconds until then are the recovery, which may be 5, and are given up after 60.

Then clients send photos for minutes, one after the other, each with a share of requests that are wrong in one of seven
ways, drawn at random. Every answer's status has to be that of its request. Memory of its own (what only this process
has) and descriptors of the service are noted every few seconds; their slopes are the least squares' over all but the
first fifth, in which caches fill. Clients and service share the machine.
"""

import argparse
import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from asking import Address, ask, ask_once, photo, service

BUSY = {429, 503}
GOAL_SECONDS = 5.0


def overload(address: Address, content: bytes, waiting: int, seconds: float) -> dict[str, Any]:
    """Answers by status under ten times of what may wait; seconds until a photo takes no longer than before."""
    usual = median(ask_once(address, content)[1] for _ in range(5))
    until = time.perf_counter() + seconds

    def client(_: int) -> Counter[int]:
        seen: Counter[int] = Counter()
        while time.perf_counter() < until:
            seen[ask_once(address, content)[0]] += 1
        return seen

    with ThreadPoolExecutor(10 * waiting) as pool:
        seen = sum(pool.map(client, range(10 * waiting)), Counter())
    ended = time.perf_counter()
    while time.perf_counter() < ended + 60:
        status, spent = ask_once(address, content)
        if status == 200 and spent <= 2 * usual:
            break
    return {"answers": dict(seen), "seconds_before": usual, "recovered_in": time.perf_counter() - ended}


def post(address: Address, path: str, content: bytes, **headers: str) -> int:
    """The status of a request."""
    with closing(HTTPConnection(*address, timeout=300)) as connection:
        connection.request("POST", path, content, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def leave(address: Address) -> None:
    """Send a photo and go away before its answer."""
    content = photo(1)
    with closing(socket.create_connection(address)) as connection:
        head = f"POST /v1/invert HTTP/1.1\r\nHost: {address[0]}\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)


#: Requests that are wrong, by what is wrong: how to send one, and the status that is right; none where nobody waits.
BAD: dict[str, tuple[Callable[[Address], int | None], int | None]] = {
    "no photo": (lambda address: post(address, "/v1/invert", os.urandom(5000)), 400),
    "half a photo": (lambda address: post(address, "/v1/invert", photo(0)[:3000]), 400),
    "too large": (lambda address: post(address, "/v1/invert", bytes(17 << 20)), 413),
    "no such bundle": (lambda address: post(address, "/v1/invert?bundle=none", photo(0)), 404),
    "no JSON": (lambda address: post(address, "/v1/edit", b'{"inversion": '), 400),
    "no tensor": (lambda address: post(address, "/v2/models/none/infer", b'{"inputs": [1]}'), 404),
    "left": (leave, None),
}


def client(address: Address, number: int, until: float, share: float) -> Counter[tuple[str, int | None]]:
    """What a client was answered, by what it sent."""
    seen: Counter[tuple[str, int | None]] = Counter()
    draw = np.random.default_rng(number)
    photos = [photo(seed) for seed in range(4)]
    with closing(HTTPConnection(*address, timeout=300)) as connection:
        while time.perf_counter() < until:
            if draw.random() < share:
                name = list(BAD)[draw.integers(len(BAD))]
                try:
                    seen[name, BAD[name][0](address)] += 1
                except ConnectionError:
                    # The service may close before it has read all of a body that is too large.
                    seen[name, BAD[name][1]] += 1
            else:
                seen["photo", ask(connection, photos[draw.integers(len(photos))])[0]] += 1
    return seen


def soak(address: Address, process: psutil.Process, arguments: argparse.Namespace) -> dict[str, Any]:
    """Answers, and memory and descriptors over the time."""
    started = time.perf_counter()
    until = started + 60 * arguments.minutes
    samples = []
    with ThreadPoolExecutor(arguments.clients) as pool:
        clients = [pool.submit(client, address, number, until, arguments.bad) for number in range(arguments.clients)]
        while time.perf_counter() < until:
            time.sleep(arguments.every)
            now = time.perf_counter() - started
            samples.append((now, process.memory_full_info().uss, process.num_fds()))
        seen = sum((each.result() for each in clients), Counter())
    settled = np.array(samples[len(samples) // 5 :], np.float64)
    slopes = [float(np.polyfit(settled[:, 0], column, 1)[0]) for column in settled[:, 1:].T]
    wrong = {f"{name}: {status}": count for (name, status), count in seen.items() if not is_right(name, status)}
    return {
        "answers": {f"{name}: {status}": count for (name, status), count in sorted(seen.items(), key=str)},
        "wrong": wrong,
        "memory_bytes": {"first": settled[0, 1], "last": settled[-1, 1], "most": settled[:, 1].max()},
        "memory_bytes_per_minute": 60 * slopes[0],
        "descriptors": {"first": settled[0, 2], "last": settled[-1, 2], "most": settled[:, 2].max()},
        "descriptors_per_minute": 60 * slopes[1],
        "samples": samples,
    }


def is_right(name: str, status: int | None) -> bool:
    """Whether this is how a request of this kind is to be answered."""
    return status in BUSY or status == (200 if name == "photo" else BAD[name][1])


def main() -> None:
    """Measure, print, and fail where an answer was wrong or the service did not recover."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--overload", type=float, default=60, help="seconds of it; 0 for none")
    parser.add_argument("--waiting", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=30, help="of the soak; 0 for none")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--bad", type=float, default=0.05, help="share of requests that are wrong")
    parser.add_argument("--every", type=float, default=5, help="seconds between looks at memory and descriptors")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    options = ("--backend", arguments.backend, "--waiting", str(arguments.waiting))
    with service(arguments.bundle, *options) as (address, process):
        if arguments.overload:
            result["overload"] = overload(address, photo(0), arguments.waiting, arguments.overload)
        if arguments.minutes:
            result["soak"] = soak(address, process, arguments)
    result["load_average"] = os.getloadavg()[0]
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    samples = result.get("soak", {}).pop("samples", ())
    print(json.dumps(result, indent=1), f"\n{len(samples)} looks at memory and descriptors")
    failures = [f"wrong answers: {result['soak']['wrong']}"] if result.get("soak", {}).get("wrong") else []
    if over := result.get("overload"):
        failures += [f"overload was answered with {over['answers']}"] if set(over["answers"]) - {200, *BUSY} else []
        failures += [f"recovered in {over['recovered_in']:.1f} s"] if over["recovered_in"] > GOAL_SECONDS else []
    sys.exit("\n".join(failures) or 0)


if __name__ == "__main__":
    main()
