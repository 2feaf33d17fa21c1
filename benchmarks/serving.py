"""What a request costs beyond the inversion, and latency and throughput of `serve` over offered load.

Run: python benchmarks/serving.py BUNDLE [--pairs 1000] [--photos 60] [--clients 1,4,16,32]

Overhead: a service in this process, and its very session without it, take turns at the same photos, one at a time,
from a JPEG file's bytes to a PNG's, which have to be equal. The client is another process with a connection that it
keeps; what it does itself counts as the service's. Each does a photo twice, and the second time counts: the first one
finds the caches full of the other side's work, which no service meets. Which of the two begins is drawn for each pair,
so that what else the machine does meets both. The overhead is the median of the pairs' differences over the median of
the bare session, with the 95 % interval of a bootstrap over pairs.

Offered load: `serve` is a process of its own; this one sends photos over the loopback, from as many threads as there
are clients. What overload does, and a long time: soak.py.
"""

import argparse
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import BinaryIO

import numpy as np
import uvicorn
from asking import Address, ask, photo, service
from PIL import Image

from hyperstyle_deploy.runtime.images import MAX_PIXELS, PNG, decode_photo
from hyperstyle_deploy.runtime.serving.http.server import configured
from hyperstyle_deploy.runtime.serving.http.service import Service
from hyperstyle_deploy.runtime.serving.http.settings import Settings
from hyperstyle_deploy.runtime.serving.live.worker import Queueing
from hyperstyle_deploy.runtime.session import Session, load

#: Photos that take turns, and pairs at the beginning that are left out.
PHOTOS, WARM = 16, 8
DRAWS = 2000


class Client:
    """In its process: a connection, and the seconds and the answer of a photo."""

    _connection: socket.socket
    _answers: BinaryIO

    @classmethod
    def connect(cls, host: str, port: int) -> None:
        """Once, at the process's start."""
        cls._connection = socket.create_connection((host, port))
        cls._answers = cls._connection.makefile("rb")

    @classmethod
    def served(cls, content: bytes) -> tuple[float, bytes]:
        """A photo, as clients see it, from a plain socket: the standard library's client takes long for itself."""
        lines = ("POST /v1/invert HTTP/1.1", "Host: 127.0.0.1", "Accept: image/png", f"Content-Length: {len(content)}")
        head = "".join(f"{line}\r\n" for line in (*lines, ""))
        started = time.perf_counter()
        cls._connection.sendall(head.encode() + content)
        status = cls._answers.readline()
        fields = dict(line.lower().split(b":", 1) for line in iter(cls._answers.readline, b"\r\n"))
        png = cls._answers.read(int(fields[b"content-length"]))
        spent = time.perf_counter() - started
        assert status == b"HTTP/1.1 200 OK\r\n", png
        return spent, png


def bare(session: Session, content: bytes) -> tuple[float, bytes]:
    """The same without a service."""
    started = time.perf_counter()
    inversion = session.invert(decode_photo(content, "photo", MAX_PIXELS))
    stream = BytesIO()
    Image.fromarray(inversion.image).save(stream, **PNG)
    return time.perf_counter() - started, stream.getvalue()


@contextmanager
def served_here(session: Session) -> Iterator[Callable[[bytes], tuple[float, bytes]]]:
    """A service of a session in this process, as the command line sets it up; and a client in another process."""
    listening = socket.create_server(("127.0.0.1", 0))
    settings = Settings(
        queueing=Queueing(batch=1), head_seconds=600
    )  # a bare photo may take as long as a client may idle
    server = uvicorn.Server(configured(Service({"bundle": lambda: session}, settings)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    address = listening.getsockname()
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=Client.connect, initargs=address) as client:
        yield lambda content: client.submit(Client.served, content).result()
    server.should_exit = True
    thread.join()


def overhead(session: Session, pairs: int) -> dict[str, object]:
    """What the service adds to the session's seconds."""
    photos, draw = [photo(seed) for seed in range(PHOTOS)], np.random.default_rng(0)
    spent = np.empty((WARM + pairs, 2))
    with served_here(session) as served:
        sides = (lambda content: bare(session, content), served)
        for pair in range(len(spent)):
            answers = {}
            for side in draw.permutation(2):
                for _ in range(2):
                    spent[pair, side], answers[side] = sides[side](photos[pair % PHOTOS])
            assert answers[0] == answers[1], "the service gives another picture"
    without, added = spent[WARM:, 0], spent[WARM:, 1] - spent[WARM:, 0]
    drawn = draw.integers(0, pairs, (DRAWS, pairs))
    shares = np.median(added[drawn], 1) / np.median(without[drawn], 1)
    return {
        "pairs": pairs,
        "bare": median(without),
        "added": median(added),
        "share": median(added) / median(without),
        "interval": np.quantile(shares, (0.025, 0.975)).tolist(),
    }


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
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--clients", default="1,4,16,32")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    load_average = os.getloadavg()[0]
    with load(arguments.bundle, backend=arguments.backend) as session:
        result = {"session": str(session), "overhead": overhead(session, arguments.pairs)}
    photos = [photo(seed) for seed in range(arguments.photos)]
    with service(arguments.bundle, "--backend", arguments.backend, "--deadline", "600") as (address, _):
        loads = [offered(address, photos, int(clients)) for clients in arguments.clients.split(",")]
    result |= {"loads": loads, "load_average": load_average}
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
