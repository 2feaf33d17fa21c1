"""The exporter: from published checkpoints to bundles. The only room that imports PyTorch."""
