"""How far results may differ, by dtype: one table for export, verification and tests."""

#: Largest accepted absolute difference of codes, offsets and images (these in the networks' range, about [-1, 1]).
TOLERANCE = {"float32": 5e-5}

#: The same on a GPU, without TF32, also relative to an array's largest value. A guess until it was measured on one.
GPU_TOLERANCE = {"float32": 5e-4}
