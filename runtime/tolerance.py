"""How far results may differ, by dtype: one table for export, verification and tests."""

#: Largest accepted absolute difference of codes, offsets and images, the latter in the networks' range of about [-1, 1].
TOLERANCE = {"float32": 5e-5}
