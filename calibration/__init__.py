"""Calibration: from a float32 bundle to one with INT8 or FP8 graphs, ranges taken from the refinement loop itself."""
