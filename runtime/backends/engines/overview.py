"""The engines that a bundle has, and which of them could be loaded: for a user who looks, without a GPU or library."""

from dataclasses import asdict, dataclass
from typing import Any

from ....errors import HyperStyleDeployError
from ...bundle.reader import Bundle
from .loading import check_graph, check_seal, engine_file
from .record import MODULES, Engine, read_record


@dataclass(frozen=True)
class EngineState:
    """One engine, or a target's record that cannot be read; ``problem`` is None for an engine of this bundle and user.

    Whether it fits a GPU and a library is seen when it is loaded with them.
    """

    target: str
    engine: Engine | None
    problem: str | None

    def to_json(self) -> dict[str, Any]:
        """The state as JSON values."""
        return {"target": self.target, "problem": self.problem, **(asdict(self.engine) if self.engine else {})}


def engine_states(bundle: Bundle) -> list[EngineState]:
    """Every engine in a bundle's records; checksums of engine files are not computed."""
    states = []
    for target in MODULES:
        try:
            record = read_record(bundle.path, target)
        except HyperStyleDeployError as error:
            states.append(EngineState(target, None, str(error)))
            continue
        states += [EngineState(target, engine, _problem(engine, bundle)) for engine in record.engines.values()]
    return states


def _problem(engine: Engine, bundle: Bundle) -> str | None:
    try:
        engine_file(engine, bundle.path)
        check_graph(engine, bundle)
        check_seal(engine, bundle.path)
    except HyperStyleDeployError as error:
        return str(error)
    return None
