"""What a calibration found, as data: `calibration.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .blocks import Block
from .effects import Effect
from .formats import Format
from .gate import Choice
from .ranges import Ranges, Watched

REPORT_NAME = "calibration.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class StepRange:
    """A tensor at one step: its smallest and largest value, and the share above the threshold."""

    step: int
    minimum: float
    maximum: float
    saturated: float


@dataclass(frozen=True)
class TensorRange:
    """A tensor that convolutions read: its threshold over all steps, and its range at each.

    ``block`` is that of the convolution that reads it, None where that is in no block and so stays float32.
    """

    stage: str
    block: str | None
    tensor: str
    threshold: float
    steps: tuple[StepRange, ...]


@dataclass(frozen=True)
class BlockReport:
    """A block: what quantizing it alone does, whether it was quantized, and why not."""

    name: str
    kind: str
    parameters: int
    quantized: bool
    reason: str | None
    alone: Effect


@dataclass(frozen=True)
class Side:
    """A bundle before or after: bytes of its files, and median seconds of each stage on this machine."""

    bytes: int
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Report:
    """Everything that a calibration found. ``met`` says whether the target was, and so whether a bundle was written.

    ``image`` is the effect of all quantized blocks together, in the backend of the gate, against float32 there;
    where the target was not met it is that of the last attempt, or None where there was none.
    """

    source: str
    model: str
    form: Format
    method: str
    steps: int
    seed: int
    photos: tuple[str, ...]
    checked: int
    least_psnr: float
    backend: str
    met: bool
    image: Effect | None
    blocks: tuple[BlockReport, ...]
    tensors: tuple[TensorRange, ...]
    before: Side
    after: Side | None
    machine: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        blocks = [
            {**{k: v for k, v in vars(block).items() if k != "alone"}, "alone": block.alone.to_json()}
            for block in self.blocks
        ]
        return {
            "schema_version": SCHEMA_VERSION,
            "source": self.source,
            "model": self.model,
            "format": self.form.name,
            "method": self.method,
            "steps": self.steps,
            "seed": self.seed,
            "photos": list(self.photos),
            "checked": self.checked,
            "least_psnr": self.least_psnr,
            "backend": self.backend,
            "met": self.met,
            "image": None if self.image is None else self.image.to_json(),
            "blocks": blocks,
            "tensors": [asdict(tensor) for tensor in self.tensors],
            "before": asdict(self.before),
            "after": None if self.after is None else asdict(self.after),
            "machine": dict(self.machine),
        }


def tensor_ranges(
    ranges: Ranges, thresholds: Mapping[str, Mapping[str, float]], blocks: Mapping[tuple[str, str], str | None]
) -> tuple[TensorRange, ...]:
    """The ranges as the report has them; ``blocks`` as ``readers`` finds them."""
    found = []
    for stage, of_stage in thresholds.items():
        for tensor, limit in of_stage.items():
            steps = sorted(key.step for key in ranges.histograms if key[:2] == (stage, tensor))
            rows = []
            for step in steps:
                histogram = ranges.histograms[Watched(stage, tensor, step)]
                rows.append(StepRange(step, histogram.minimum, histogram.maximum, histogram.share_above(limit)))
            found.append(TensorRange(stage, blocks[stage, tensor], tensor, limit, tuple(rows)))
    return tuple(found)


def block_reports(blocks: Sequence[Block], effects: Mapping[str, Effect], choice: Choice) -> tuple[BlockReport, ...]:
    """Every block with its effect alone and its fate."""
    reasons = {kept.block: kept.reason for kept in choice.kept}
    chosen = {block.name for block in choice.chosen}
    return tuple(
        BlockReport(b.name, b.kind, b.parameters, b.name in chosen, reasons.get(b.name), effects[b.name])
        for b in blocks
    )
