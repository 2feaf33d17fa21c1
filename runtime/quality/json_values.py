"""Numbers in JSON documents of results."""

import math


def finite(value: float | None) -> float | None:
    """JSON has neither NaN nor infinity: what is not finite is null there."""
    return value if value is not None and math.isfinite(value) else None


def json_name(measure: str) -> str:
    """A measure as JSON documents call it: "ms_ssim"."""
    return measure.lower().replace("-", "_")
