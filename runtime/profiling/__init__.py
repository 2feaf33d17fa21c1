"""Latency: cases measured side by side, stages, nodes, cold starts, and how many steps pay."""
