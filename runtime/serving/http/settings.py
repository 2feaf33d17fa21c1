"""What an operator may set, and bounds on what clients may ask for."""

from dataclasses import dataclass, field

from ...images import MAX_PIXELS
from ..live.tensors import MOST_STEPS
from ..live.worker import Queueing

#: Where nobody but this machine's users can connect.
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Settings:
    """How a service listens, and its bounds.

    Attributes:
        host, port: where it listens; port 0 takes a free one.
        token: what clients have to show, or None.
        page: whether `/` shows the page; None for on the loopback.
        head_seconds: for the lines before a request's body to arrive, between two requests of a connection, and for a
            client to take some more of its answer.
        body_bytes: of a request.
        body_seconds: for a request's body to arrive.
        bodies: requests whose bodies are read or decoded at once: with ``body_bytes`` a bound on memory.
        connections: requests of those beyond them get 503.
        pixels: of a photo.
        steps: that a client may ask for.
        edits: pictures of one request.
        deadline: seconds for an answer; then it is 503 and the work is left.
        drain: seconds that running work gets when the service is told to end.
        jobs: that are kept, and for how many seconds after their end (``job_seconds``).
    """

    host: str = LOOPBACK[0]
    port: int = 8080
    token: str | None = None
    page: bool | None = None
    head_seconds: float = 10.0
    body_bytes: int = 16 << 20
    body_seconds: float = 30.0
    bodies: int = 16
    connections: int = 512
    pixels: int = MAX_PIXELS
    steps: int = MOST_STEPS
    edits: int = 32
    deadline: float = 120.0
    drain: float = 30.0
    jobs: int = 64
    job_seconds: float = 600.0
    queueing: Queueing = field(default_factory=Queueing)

    @property
    def on_loopback(self) -> bool:
        """Whether nobody but this machine's users can connect."""
        return self.host in LOOPBACK

    @property
    def shows_page(self) -> bool:
        """Whether `/` shows the page."""
        return self.on_loopback if self.page is None else self.page
