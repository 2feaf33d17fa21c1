"""What a failed comparison has shown, in sentences for people."""

from .verify import Comparison


def explanation(comparison: Comparison) -> list[str]:
    """Where a fault is, a line a finding; nothing if the reference has no stages to compare."""
    lines = [
        f"stage {fault.stage}: on the reference's own inputs {fault.output} is off by {fault.difference.largest:.1e} "
        f"at step {fault.step}, allowed are {fault.difference.limit:.1e}"
        for fault in comparison.faults
    ]
    if comparison.stages and not lines:
        lines.append(
            "Every stage is within tolerance on the reference's own inputs: the loop itself makes errors grow."
        )
    if (found := comparison.bisection) is None:
        return lines
    if found.fault is None:
        return [
            *lines,
            f"No single node of {found.stage} leaves tolerance when its output is brought out ({found.compared} of "
            f"{found.nodes} were compared): the fault is in how the backend fuses them.",
        ]
    fault = found.fault
    return [
        *lines,
        f"node {fault.node} ({fault.op}) of {found.stage} is the first out of tolerance: {fault.output} is off by "
        f"{fault.difference.largest:.1e}, allowed are {fault.difference.limit:.1e}; what it reads is off by "
        f"{fault.inputs:.2g} times what is allowed",
    ]
