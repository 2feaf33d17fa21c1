"""Room for calibration: ranges over the refinement loop, Q/DQ placement and precision policies. Nothing here yet."""
