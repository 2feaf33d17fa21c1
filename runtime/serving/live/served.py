"""A bundle that is served: its sessions and directions, which may be exchanged while it serves, and its worker."""

import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ....errors import BundleError, DirectionError, HyperStyleDeployError
from ...editing.change import Change, Edit, Mix, check_strength
from ...editing.direction import Direction
from ...session import Session
from ..facts import bundle_facts
from .hand import Meter
from .worker import Queueing, Worker

LOGGER = logging.getLogger(__name__)
#: Opens a bundle where it is now; with ``generator=NAME`` to be drawn by that further generator.
Loader: TypeAlias = Callable[..., Session]


@dataclass(frozen=True)
class Opened:
    """What a bundle was when it was loaded: its session, those of further generators by their names, its directions."""

    session: Session
    further: Mapping[str, Session]
    directions: Mapping[str, Direction]


class Served:
    """A bundle under its name.

    Args:
        name: what requests call it.
        load: opens the bundle.
        queueing, meter: of its worker.
        generators: further generators that requests may name, of those that the bundle has.

    Raises:
        BundleError, BackendError, DirectionError: it cannot be loaded.
    """

    def __init__(
        self, name: str, load: Loader, queueing: Queueing, meter: Meter, generators: Collection[str] = ()
    ) -> None:
        self.name, self._load, self._generators = name, load, generators
        self._opened = _opened(load, generators)
        self.worker = Worker(name, queueing, meter, lambda: self.sessions)
        #: How often it was loaded again, and how often that failed, by "loaded" and "failed".
        self.reloads: Counter[str] = Counter()
        self._loading = threading.Lock()
        #: The hang that something was done about.
        self._treated: float | None = None

    @property
    def session(self) -> Session:
        """The bundle as its own method and generator."""
        return self._opened.session

    @property
    def further(self) -> Mapping[str, Session]:
        """The same drawn by further generators, by their names."""
        return self._opened.further

    @property
    def sessions(self) -> tuple[Session, ...]:
        """All that requests may come to now."""
        return (self.session, *self.further.values())

    @property
    def directions(self) -> Mapping[str, Direction]:
        """Its directions by their names."""
        return self._opened.directions

    def reload(self) -> bool:
        """Load the bundle again; a damaged one changes nothing. Work that waits is done by what it was made for.

        Where the worker is stuck, what it hangs in is left to itself.
        """
        with self._loading:  # of two that are asked for at once, the later one is what is served
            try:
                opened = _opened(self._load, self._generators)
                self._check_generators(opened)
                self._opened = opened
            except Exception as error:  # whatever it is, what is served goes on; where from, unless it is known
                known = isinstance(error, HyperStyleDeployError)
                LOGGER.error("%s stays as it was: %s", self.name, error, exc_info=not known)
                self.reloads["failed"] += 1
                return False
            if self.worker.give_up():
                LOGGER.error("%s goes on in another thread; what hung is left to itself", self.name)
            LOGGER.info("%s was loaded again: %s", self.name, self.session)
            self.reloads["loaded"] += 1
        return True

    def _check_generators(self, opened: Opened) -> None:
        """Requests name further generators: a bundle without one that they had is not what was served."""
        if gone := [name for name in self.further if name not in opened.further]:
            hint = f"Export it with --generator {gone[0]}=FILE, or start the service anew."
            raise BundleError(f"The new bundle has no generator {gone[0]}", hint=hint)

    def heal(self) -> None:
        """Where the worker hangs, load the bundle anew and go on with that; but not while an earlier call still hangs.

        A call that hangs cannot be ended, and keeps its thread and its session's memory.
        """
        hang = self.worker.hang
        if hang is None or hang == self._treated:
            return
        LOGGER.error("%s hangs: a step takes longer than any may", self.name)
        self._treated = hang
        if not self.worker.lost:
            self.reload()

    @property
    def is_lost(self) -> bool:
        """Whether it hangs, and nothing will be done about it from inside: the process has to be started anew."""
        hang = self.worker.hang
        return hang is not None and hang == self._treated and not self._loading.locked()

    def resolved(self, edit: Any, mixes: Mapping[str, Mix]) -> Edit:
        """An edit as requests have it: strengths by the names of directions and mixes. No file is looked for.

        Raises:
            DirectionError: no object, an unknown name, or a strength out of range.
        """
        if not isinstance(edit, dict):
            raise DirectionError("That is no edit", got=type(edit).__name__, expected='{"name": strength, ...}')
        changes: dict[str, Change] = {**self.directions, **mixes}
        if unknown := [name for name in edit if name not in changes]:
            there = ", ".join(changes) or "none at all"
            raise DirectionError(f"The bundle has no direction {unknown[0][:80]}", got=there)
        return {changes[name]: check_strength(name, strength) for name, strength in edit.items()}

    def document(self) -> dict[str, Any]:
        """What a client needs to know of it."""
        session = self.session
        return {
            **bundle_facts(self.name, session.manifest, self.directions.values()),
            "method": session.method,
            "backend": session.backend,
            "precision": session.precision,
            "default_steps": session.checked_steps(None),
            "generators": list(self.further),
        }


def _opened(load: Loader, generators: Collection[str]) -> Opened:
    session = load()
    there = [spec.name for spec in session.manifest.generators if spec.name in generators]
    further = {name: load(generator=name) for name in there}
    return Opened(session, further, {direction.name: direction for direction in session.directions.all()})


def names_of(paths: Sequence[Path]) -> dict[str, Path]:
    """What bundles are called in requests: their folders' names without the ending; equal ones are numbered."""
    names: dict[str, Path] = {}
    for path in paths:
        stem = re.sub(r"[^A-Za-z0-9._-]", "-", path.resolve().stem) or "bundle"
        numbered = (f"{stem}-{number}" for number in range(2, len(paths) + 2))
        names[next(name for name in (stem, *numbered) if name not in names)] = path
    return names
