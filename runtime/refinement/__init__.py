"""The loop that every method shares, and when a photo stops early."""
