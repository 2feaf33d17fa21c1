"""The same job on a Ray cluster: Ray Data hands photos to actors with a session each, the ledger stays the truth.

The ledger is a file of the machine that runs the command. One actor there, the keeper, answers for it; an actor that
inverts asks it for every photo before it begins, so that a block that Ray runs again repeats nothing, and two runs
share a ledger as they do without Ray. Errors are caught photo by photo, since Ray would drop a whole block; Ray's own
checkpoints are not used.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ....errors import BatchError, OutputError
from .ledger import Ledger
from .recipe import Entry, Recipe
from .roster import Outcome, ProcessKey
from .supervisor import LATE, LOOK, TOO_LARGE
from .worker import Job, attempt

#: Photos of one run of Ray Data: each is waited for to its end. And of one block, which an actor takes at once.
PASS, BLOCK = 100_000, 16
#: Seconds between looks at the ledger while all that is left is in others' hands.
IDLE = 1.0


@dataclass(frozen=True)
class Cluster:
    """Where and with what.

    ``address`` is Ray's: of a cluster, "auto" for the one that this machine belongs to, "local" for one of its own that
    ends with the run. An actor takes ``cpus``, its session's threads, and ``gpus``, 1 or a share of one.
    """

    address: str
    actors: int
    cpus: int
    gpus: float


class Keeper:
    """Answers for the ledger; an actor on its machine."""

    def __init__(self, job: Job) -> None:
        self._ledger = Ledger(job.ledger)
        self._roster = job.roster(self._ledger)
        self._crew: list[int] = []

    def enlist(self, key: ProcessKey) -> int:
        """A new actor's number."""
        self._crew.append(self._roster.enlist(key))
        return self._crew[-1]

    def begin(self, worker: int, entry: Entry) -> bool:
        """Give a photo away, if it still waits."""
        return self._roster.begin(worker, entry)

    def finish(self, worker: int, entry: Entry, outcome: Outcome) -> int:
        """Write down what became of it; returns the state that it is in then."""
        return self._roster.finish(worker, entry, outcome)

    def dismiss(self, worker: int, outcome: Outcome | None) -> None:
        """Strike an actor off."""
        self._roster.dismiss(worker, outcome)

    def crew(self) -> list[int]:
        """All actors that there were."""
        return self._crew


class Inverting:
    """An actor with a session: photos in, the states that they are in afterwards out. It watches itself."""

    def __init__(self, job: Job, recipe: Recipe, folder: Path, keeper: Any) -> None:
        import ray

        self._ask = lambda method, *arguments: ray.get(getattr(keeper, method).remote(*arguments))
        self._job = job
        self._inverter = job.open(job, recipe, folder)
        self._number = self._ask("enlist", ProcessKey.of(os.getpid()))
        self._since: float | None = None
        threading.Thread(target=self._watch, daemon=True).start()

    def __call__(self, row: dict[str, Any]) -> dict[str, int | None]:
        entry = Entry(row["number"], row["path"], row["identity"])
        if not self._ask("begin", self._number, entry):
            return {"state": None}  # somebody else has it, or had it
        self._since = time.monotonic()
        try:
            outcome = attempt(self._inverter, entry)
        except OutputError:
            self._ask("dismiss", self._number, None)
            raise
        finally:
            self._since = None
        return {"state": self._ask("finish", self._number, entry, outcome)}

    def _watch(self) -> None:
        """End this process if its photo takes too long, or it too much memory; Ray starts another one."""
        process, job = psutil.Process(), self._job
        while True:
            time.sleep(LOOK)
            since, memory = self._since, process.memory_info()
            seconds = 0.0 if since is None else time.monotonic() - since
            own = memory.rss - getattr(memory, "shared", 0)
            if job.memory is not None and own > job.memory:
                message = f"its worker had {own >> 20} MiB, of {job.memory >> 20}"
                self._end(Outcome(seconds, TOO_LARGE, message))
            elif seconds > job.deadline:
                self._end(Outcome(seconds, LATE, f"it took more than {job.deadline:g} s"))

    def _end(self, outcome: Outcome) -> None:
        self._ask("dismiss", self._number, outcome)
        os._exit(1)


def run_on_ray(
    ledger: Ledger, job: Job, cluster: Cluster, on_ended: Callable[[int], None] = lambda state: None
) -> None:
    """Work until every photo of the ledger is done or failed, whoever else works at it.

    Args:
        ledger: open, for this process alone.
        job: what the actors do. Bundle, photos and folder are where it says on every machine.
        cluster: where.
        on_ended: called with the state of every photo whose attempt ended here, a block at a time.

    Raises:
        BatchError: the cluster cannot be reached, or actors cannot load the bundle or write results.
        ModuleNotFoundError: Ray is not installed.
    """
    import ray
    from ray.exceptions import RayError

    try:
        with _connected(cluster), _kept(ledger, job) as keeper:
            while ledger.unfinished():
                job.roster(ledger).bury()
                entries = ledger.waiting(PASS)
                if not entries:
                    time.sleep(IDLE)
                    continue
                for row in _inverted(entries, ledger, job, cluster, keeper).iter_rows():
                    if row["state"] is not None:
                        on_ended(row["state"])
    except RayError as error:
        cause = getattr(error, "cause", None) or error
        hint = "Finished photos are kept; the same command does the others."
        raise BatchError("The batch cannot go on", got=str(cause)[-500:], hint=hint) from error
    finally:
        ray.shutdown()


@contextmanager
def _connected(cluster: Cluster) -> Iterator[None]:
    """A connection to Ray, which takes SIGTERM for itself otherwise."""
    import ray
    from ray.data import DataContext

    terminated = signal.getsignal(signal.SIGTERM)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray tells its makers of its use otherwise
    if cluster.address == "local":
        # Ray Data needs some of its own besides the actors'.
        own = {"num_cpus": cluster.actors * cluster.cpus + 2, "include_dashboard": False}
    else:
        own = {}
    try:
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR", **own)
    except Exception as error:
        raise BatchError(f"Cannot reach Ray at {cluster.address}", got=str(error)[:500]) from error
    signal.signal(signal.SIGTERM, terminated)
    DataContext.get_current().enable_progress_bars = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    yield


@contextmanager
def _kept(ledger: Ledger, job: Job) -> Iterator[Any]:
    """The keeper; afterwards every actor is gone, and what it had is given back."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    keeper = ray.remote(Keeper).options(num_cpus=0, scheduling_strategy=here).remote(job)
    crew: list[int] = []
    try:
        yield keeper
    finally:
        crew = ray.get(keeper.crew.remote())
        ray.shutdown()
        for number in crew:
            job.roster(ledger).dismiss(number, None)


def _inverted(entries: Sequence[Entry], ledger: Ledger, job: Job, cluster: Cluster, keeper: Any) -> Any:
    """The data set of what becomes of photos; it runs when it is read."""
    import ray
    from ray.data import ActorPoolStrategy

    rows = [{"number": each.number, "path": each.path, "identity": each.identity} for each in entries]
    return ray.data.from_items(rows, override_num_blocks=-(-len(rows) // BLOCK)).map(
        Inverting,
        fn_constructor_args=(job, ledger.recipe, ledger.folder, keeper),
        compute=ActorPoolStrategy(size=cluster.actors),
        num_cpus=cluster.cpus,
        num_gpus=cluster.gpus,
    )
