"""Latency and throughput of `serve` over offered load, against the bare session.

Run: python benchmarks/serving.py BUNDLE [--photos 60] [--clients 1,4,16,32]

The bare session inverts the same photos one after the other in this process, from their files' bytes to a PNG's.
The service is a process of its own; this one sends photos over the loopback, from as many threads as there are
clients, each with a connection that it keeps. One client and the bare session take turns, ten photos each: photo by
photo every inversion would find the caches full of the other side's weights, which no service meets. What the median
of a turn is above the bare session's, turn by turn, is the service's overhead. What overload does, and a long time:
soak.py.
"""

import argparse
import json
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from statistics import median

import numpy as np
from asking import ask, photo, service
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


def one_client(address: tuple[str, int], session: Session, photos: list[bytes]) -> list[tuple[float, float]]:
    """The median seconds of a photo by the service and without it, of each block of photos; the first warms up."""
    pairs = []
    with closing(HTTPConnection(*address, timeout=300)) as connection:
        for start in (0, *range(0, len(photos), BLOCK)):
            block = photos[start : start + BLOCK]
            served = median([ask(connection, content)[1] for content in block])
            pairs.append((served, median([bare(session, content) for content in block])))
    return pairs[1:]


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
    with service(arguments.bundle, *options) as (address, _):
        session = load(arguments.bundle, backend=arguments.backend)
        pairs = one_client(address, session, photos)
        alone, one = (median(side) for side in zip(*pairs, strict=True))
        more = [served / without - 1 for served, without in pairs]
        loads = [offered(address, photos, int(clients)) for clients in arguments.clients.split(",")]
    result = {
        "session": str(session),
        "bare_seconds": one,
        "service_seconds": alone,
        "overhead": median(more),
        "overhead_of_blocks": more,
        "loads": loads,
        "load_average": os.getloadavg()[0],
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
