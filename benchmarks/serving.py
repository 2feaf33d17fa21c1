"""What `serve` costs beyond the inversion, of a photo alone and at work; latency and throughput over offered load.

Run: python benchmarks/serving.py BUNDLE [--pairs 600] [--turns 40] [--photos 32] [--clients 1,2,4,16,32]

Everything is from a JPEG file's bytes to a PNG's, which have to be equal. The client is another process, with plain
sockets that it keeps: the standard library's client takes long for itself.

A photo alone: `serve` and the smallest service that the same server can have take turns, in a drawn order, in this
process, at one session. The smallest one reads the body, has one thread do all of it, and sends the answer; the seconds
in that thread are the bare session's, as rested as the other's, since a processor that has waited takes longer for its
next inversion. Each does a photo twice and the second time counts: the first one finds the caches full of the other's
work. The overhead is the median of the pairs' differences to the bare session over its median, with the 95 % interval
of a bootstrap over pairs; that of the smallest service is what any service would cost. Beside it, `around`: the median
of what a request takes outside of its own photo's stages "preparing", "inverting" and "encoding", which no other
inversion's seconds blur: of long ones a machine's noise is larger than all that a service adds.

At work: so many clients send photos as fast as they are answered, in turns with the same session in a loop over the
same photos. Overhead is the median of the turns' ratios of seconds, less one, with such an interval. What the client's
process takes of the processor counts as the service's. Latencies are of these turns.

What overload does, and a long time: soak.py.
"""

import argparse
import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, BinaryIO, ClassVar

import numpy as np
import uvicorn
from asking import Address, photo
from numpy.typing import NDArray
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from uvicorn.protocols.http.h11_impl import H11Protocol

from hyperstyle_deploy.runtime.images import MAX_PIXELS, PNG, decode_photo
from hyperstyle_deploy.runtime.serving.http.server import configured
from hyperstyle_deploy.runtime.serving.http.service import Service
from hyperstyle_deploy.runtime.serving.http.settings import Settings
from hyperstyle_deploy.runtime.serving.live.worker import Queueing
from hyperstyle_deploy.runtime.session import Session, load

#: Photos that take turns, and pairs at the beginning that are left out, if there are so many.
PHOTOS, WARM = 16, 8
DRAWS = 2000
#: What the session does as well.
STAGES = ("preparing", "inverting", "encoding")
#: Seconds that a connection may rest while the other side has its turn.
REST = 600


class Client:
    """In its process: connections, and the seconds and answers of photos over them."""

    _open: ClassVar[dict[tuple[Address, int], tuple[socket.socket, BinaryIO]]] = {}

    @classmethod
    def ask(cls, address: Address, content: bytes, connection: int = 0) -> tuple[float, bytes]:
        """Seconds and picture of one photo."""
        if (address, connection) not in cls._open:
            opened = socket.create_connection(address)
            cls._open[address, connection] = opened, opened.makefile("rb")
        sending, answers = cls._open[address, connection]
        lines = ("POST /v1/invert HTTP/1.1", "Host: 127.0.0.1", "Accept: image/png", f"Content-Length: {len(content)}")
        head = "".join(f"{line}\r\n" for line in (*lines, ""))
        started = time.perf_counter()
        sending.sendall(head.encode() + content)
        status = answers.readline()
        fields = dict(line.lower().split(b":", 1) for line in iter(answers.readline, b"\r\n"))
        png = answers.read(int(fields[b"content-length"]))
        spent = time.perf_counter() - started
        assert status.startswith(b"HTTP/1.1 200 "), (status, png)
        return spent, png

    @classmethod
    def load(cls, address: Address, photos: Sequence[bytes], clients: int) -> tuple[float, list[float]]:
        """Seconds of all photos from so many connections at once, and of each."""

        def ask(number: int) -> list[float]:
            return [cls.ask(address, content, number)[0] for content in photos[number::clients]]

        started = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            each = [spent for seconds in pool.map(ask, range(clients)) for spent in seconds]
        return time.perf_counter() - started, each


def bare(session: Session, content: bytes) -> bytes:
    """What a service is for."""
    inversion = session.invert(decode_photo(content, "photo", MAX_PIXELS))
    stream = BytesIO()
    Image.fromarray(inversion.image).save(stream, **PNG)
    return stream.getvalue()


class Smallest:
    """The smallest service of a session: an ASGI application, and what the session took each time."""

    def __init__(self, session: Session) -> None:
        self._session, self._thread = session, ThreadPoolExecutor(1)
        self.seconds: list[float] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        content, more = b"", True
        while more:
            message = await receive()
            content, more = content + message["body"], message["more_body"]
        png = await asyncio.get_running_loop().run_in_executor(self._thread, self._timed, content)
        headers = [(b"content-type", b"image/png"), (b"content-length", b"%d" % len(png))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": png})

    def _timed(self, content: bytes) -> bytes:
        started = time.perf_counter()
        png = bare(self._session, content)
        self.seconds.append(time.perf_counter() - started)
        return png


class Undelayed(H11Protocol):
    """Without it an answer's second part waits 40 ms for the client to acknowledge its first."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@contextmanager
def listening(config: uvicorn.Config) -> Iterator[Address]:
    """A server in a thread of this process."""
    with socket.create_server(("127.0.0.1", 0)) as server_socket:
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [server_socket]})
        thread.start()
        try:
            yield server_socket.getsockname()
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def both(session: Session) -> Iterator[tuple[Service, Address, Smallest, Address]]:
    """`serve`, as the command line sets it up, and where it is; the smallest service, and where that is."""
    settings = Settings(queueing=Queueing(batch=1), head_seconds=REST)
    service, smallest = Service({"bundle": lambda: session}, settings), Smallest(session)
    plain = uvicorn.Config(
        smallest, http=Undelayed, lifespan="off", log_config=None, access_log=False, timeout_keep_alive=REST
    )
    with listening(configured(service)) as ours, listening(plain) as other:
        yield service, ours, smallest, other


def _in_stages(service: Service) -> float:
    """Seconds of all its requests in what the session does as well."""
    families = text_string_to_metric_families(service.metrics.text().decode())
    samples = (each for family in families if family.name == "hyperstyle_stage_seconds" for each in family.samples)
    return sum(each.value for each in samples if each.name.endswith("_sum") and each.labels["stage"] in STAGES)


def alone(session: Session, client: ProcessPoolExecutor, pairs: int) -> dict[str, Any]:
    """What the service, and the smallest one, add to the session's seconds."""
    photos, draw = [photo(seed) for seed in range(PHOTOS)], np.random.default_rng(0)
    warm = min(WARM, pairs)
    served, smallest, without, around = np.empty((4, warm + pairs))
    with both(session) as (service, ours, plain, other):
        for pair in range(warm + pairs):
            content, answers = photos[pair % PHOTOS], {}
            sides = [(served, ours), (smallest, other)]
            for side in draw.permutation(2):
                spent, address = sides[side]
                for _ in range(2):
                    before = _in_stages(service)
                    spent[pair], answers[address] = client.submit(Client.ask, address, content).result()
                    if address == ours:
                        around[pair] = spent[pair] - (_in_stages(service) - before)
            without[pair] = plain.seconds[-1]
            assert len(set(answers.values())) == 1, "the services give different pictures"
    served, smallest, without = served[warm:], smallest[warm:], without[warm:]
    return {
        "pairs": pairs,
        "bare": median(without),
        "served": _added(served - without, without, draw),
        "around": {"added": median(around[warm:]), "share": median(around[warm:]) / median(without)},
        "smallest": _added(smallest - without, without, draw),
    }


def _added(added: NDArray[Any], without: NDArray[Any], draw: np.random.Generator) -> dict[str, Any]:
    drawn = draw.integers(0, len(added), (DRAWS, len(added)))
    shares = np.median(added[drawn], 1) / np.median(without[drawn], 1)
    return {"added": median(added), "share": median(added) / median(without), "interval": _middle(shares)}


def _middle(drawn: NDArray[Any]) -> list[float]:
    """What 95 % of a bootstrap's draws are within."""
    return np.quantile(drawn, (0.025, 0.975)).tolist()


def at_work(session: Session, client: ProcessPoolExecutor, clients: int, photos: int, turns: int) -> dict[str, Any]:
    """Seconds a photo from so many clients, beside those of a loop over the session; the first turn warms up."""
    contents = [photo(seed % PHOTOS) for seed in range(photos)]
    looped, served, latencies = [], [], []
    with both(session) as (_, ours, _, _):
        for _ in range(turns + 1):
            looped.append(_seconds(lambda: [bare(session, content) for content in contents]))
            spent, each = client.submit(Client.load, ours, contents, clients).result()
            served.append(spent)
            latencies.append(each)
    ratios = np.divide(served, looped)[1:] - 1
    drawn = np.random.default_rng(0).integers(0, turns, (DRAWS, turns))
    each = [spent for turn in latencies[1:] for spent in turn]
    return {
        "clients": clients,
        "bare_photos_per_second": photos / median(looped[1:]),
        "photos_per_second": photos / median(served[1:]),
        "overhead": median(ratios),
        "interval": _middle(np.median(ratios[drawn], 1)),
        "p50": median(each),
        "p99": float(np.quantile(each, 0.99)),
    }


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--pairs", type=int, default=600)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--photos", type=int, default=32)
    parser.add_argument("--clients", default="1,2,4,16,32")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"load_average": os.getloadavg()[0], "at_work": []}
    with (
        ProcessPoolExecutor(1, get_context("spawn")) as client,
        load(arguments.bundle, backend=arguments.backend) as session,
    ):
        result |= {"session": str(session), "alone": alone(session, client, arguments.pairs)}
        print(json.dumps(result, indent=1), flush=True)
        for clients in map(int, arguments.clients.split(",")):
            found = at_work(session, client, clients, arguments.photos, arguments.turns)
            print(json.dumps(found), flush=True)
            result["at_work"].append(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
