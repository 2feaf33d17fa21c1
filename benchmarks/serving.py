"""Latency and throughput of `serve` over offered load, against the bare session.

Run: python benchmarks/serving.py BUNDLE [--photos 60] [--clients 1,4,16,32]

The bare session inverts the same photos one after the other in this process, from their files' bytes to a PNG's.
The service is a process of its own; this one sends photos over the loopback, from as many threads as there are
clients, each with a connection that it keeps. One client and the bare session take turns, ten photos each: photo by
photo every inversion would find the caches full of the other side's weights, which no service meets. What the median
of a turn is above the bare session's, turn by turn, is the service's overhead; that of the processor's seconds, which
other programs on the machine disturb less, stands beside it. What overload does, and a long time:
soak.py.
"""

import argparse
import json
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from statistics import median

import numpy as np
import psutil
from asking import Address, ask, photo, service
from PIL import Image

from hyperstyle_deploy.runtime.images import MAX_PIXELS, decode_photo
from hyperstyle_deploy.runtime.session import Session, load

#: Photos of a turn.
BLOCK = 10


def bare(session: Session, content: bytes) -> float:
    """Seconds of one photo without a service."""
    started = time.perf_counter()
    inversion = session.invert(decode_photo(content, "photo", MAX_PIXELS))
    Image.fromarray(inversion.image).save(BytesIO(), "PNG", compress_level=4)
    inversion.to_bytes()
    return time.perf_counter() - started


@dataclass(frozen=True)
class Turn:
    """Of a photo, in the median of a turn: seconds served and bare; and the mean of the processor's seconds of each."""

    served: float
    bare: float
    served_cpu: float
    bare_cpu: float


def one_client(address: Address, process: psutil.Process, session: Session, photos: list[bytes]) -> list[Turn]:
    """Turns of the service and of the bare session; the first one, which warms up, is left out."""
    turns = []
    for start in (0, *range(0, len(photos), BLOCK)):
        block = photos[start : start + BLOCK]
        before = sum(process.cpu_times()[:2])
        with closing(HTTPConnection(*address, timeout=300)) as connection:  # a service closes one that idles
            served = median([ask(connection, content)[1] for content in block])
        served_cpu = sum(process.cpu_times()[:2]) - before
        before = time.process_time()
        without = median([bare(session, content) for content in block])
        bare_cpu = time.process_time() - before
        turns.append(Turn(served, without, served_cpu / len(block), bare_cpu / len(block)))
    return turns[1:]


def offered(address: Address, photos: list[bytes], clients: int) -> dict[str, float]:
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--clients", default="1,4,16,32")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    photos = [photo(seed) for seed in range(arguments.photos)]
    options = ("--backend", arguments.backend, "--deadline", "600")
    with service(arguments.bundle, *options) as (address, process):
        session = load(arguments.bundle, backend=arguments.backend)
        turns = one_client(address, process, session, photos)
        loads = [offered(address, photos, int(clients)) for clients in arguments.clients.split(",")]
    result = {
        "session": str(session),
        "overhead": median([turn.served / turn.bare - 1 for turn in turns]),
        "overhead_cpu": sum(turn.served_cpu for turn in turns) / sum(turn.bare_cpu for turn in turns) - 1,
        "turns": [asdict(turn) for turn in turns],
        "loads": loads,
        "load_average": os.getloadavg()[0],
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
