"""One graph to one engine: parse, compare with the manifest, configure, build."""

import threading
from collections.abc import Mapping
from pathlib import Path

from ...errors import BuildError
from ...runtime.backends.engines.logger import logger
from ...runtime.backends.engines.record import Profile, Recipe
from ...runtime.manifest.manifest import GraphSpec, TensorSpec
from .api import Builder, IBuilderConfig, INetworkDefinition, ITensor, OnnxParser
from .callbacks import Messages, Output, Progress, monitor, writer
from .targets import Options, Target

#: The library's names of types that graphs take and give.
_DTYPES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT64": "int64"}
#: Words of the builder's errors whose cause is known, and what to do then.
_HINTS = (
    (
        ("Turing",),
        "TensorRT-RTX multiplies no float32 matrices on Turing (75), and every bundle has some: leave 75 out.",
    ),
    (
        ("deconv", "bf16"),
        "TensorRT-RTX 1.7 has no transposed convolution in bfloat16: export with --precision fp16 or fp32.",
    ),
    (
        ("HW-specific datatypes", "fp8"),
        "FP8 needs a GPU since Ada: build for 89 or later alone, or calibrate with --format int8, which all take.",
    ),
    (("OutOfMemory",), "Give more --workspace, or leave the option out."),
    (("workspace limit",), "Give more --workspace, or leave the option out."),
)


class StageBuild:
    """The build of one stage's engine. Objects of the library live as long as this one."""

    def __init__(self, target: Target, graph: Path, spec: GraphSpec, recipe: Recipe) -> None:
        self._target, self._graph, self._spec, self._recipe = target, graph, spec, recipe
        self.messages = Messages()

    def run(
        self, output: Output, options: Options, folder: Path, progress: Progress, asked_to_stop: threading.Event
    ) -> None:
        """Parse the graph and stream its engine to ``output``.

        Raises:
            BuildError: the parser or the builder refuses, with what they said.
            OSError: ``output`` could not be written.
        """
        trt = self._target.library
        log = logger(trt, self.messages)
        builder = trt.Builder(log)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, log)
        self._parse(parser)
        self._check(network)
        config = builder.create_builder_config()
        # The library keeps no reference to what it calls: these names keep them until the build is over.
        watcher, stream = monitor(trt, progress, asked_to_stop), writer(trt, output)
        config.progress_monitor = watcher
        self._target.configure(config, self._recipe, options, folder)
        if self._recipe.profiles:
            _add_profile(builder, config, self._recipe.profiles)
        done = builder.build_serialized_network_to_stream(network, config, stream)
        if output.error is not None:
            raise output.error
        if not done or not output.bytes:
            raise self._refused()
        self._target.finish(config, options, folder)

    def _parse(self, parser: OnnxParser) -> None:
        if parser.parse_from_file(str(self._graph)):
            return
        found = []
        for index in range(parser.num_errors):
            error = parser.get_error(index)
            node = f"node {error.node_name()} ({error.node_operator()}): " if error.node_name() else ""
            found.append(node + error.desc().strip()[:400])
        raise BuildError(
            f"The parser of {self._target.name} refuses {self._graph}",
            got="; ".join(found) or self.messages.last_errors(),
            hint="Export the bundle again. If that does not help, the library may lack the operator: try a later one.",
        )

    def _check(self, network: INetworkDefinition) -> None:
        """A parser may accept a file that it has not understood, an empty one for instance."""
        for kind, count, tensor, specs in (
            ("inputs", network.num_inputs, network.get_input, self._spec.inputs),
            ("outputs", network.num_outputs, network.get_output, self._spec.outputs),
        ):
            got = {_describe(tensor(index)) for index in range(count)}
            expected = {_describe_spec(spec) for spec in specs}
            if got != expected:
                raise BuildError(
                    f"{self._graph} has other {kind} than bundle.json says",
                    got=", ".join(sorted(got - expected)) or "fewer",
                    expected=", ".join(sorted(expected - got)) or "fewer",
                    hint="Export the bundle again.",
                )

    def _refused(self) -> BuildError:
        said = " ".join(self.messages.errors)
        hints = (hint for words, hint in _HINTS if all(word in said for word in words))
        return BuildError(
            f"{self._target.name} cannot build {self._recipe.stage}",
            got=self.messages.last_errors(),
            hint=next(hints, None),
        )


def _add_profile(builder: Builder, config: IBuilderConfig, profiles: Mapping[str, Profile]) -> None:
    ranges = builder.create_optimization_profile()
    for name, profile in profiles.items():
        ranges.set_shape(name, profile.minimum, profile.optimum, profile.maximum)
    if config.add_optimization_profile(ranges) < 0:
        raise BuildError("The builder refuses the shapes", got={name: str(p) for name, p in profiles.items()})


def _describe(tensor: ITensor) -> str:
    return f"{tensor.name} {_DTYPES.get(tensor.dtype.name, tensor.dtype.name)} {list(tensor.shape)}"


def _describe_spec(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.dtype} {[-1 if isinstance(dim, str) else dim for dim in spec.shape]}"
