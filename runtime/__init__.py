"""The runtime: everything that inverts and edits photos with a bundle, and nothing that needs PyTorch."""
