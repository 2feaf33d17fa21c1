"""Latency: cases measured side by side, stages, layers, cold starts, and how many steps pay."""
