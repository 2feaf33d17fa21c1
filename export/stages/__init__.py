"""The graphs of a bundle: exact rewrites of the published networks, cut where refinement needs them cut."""
