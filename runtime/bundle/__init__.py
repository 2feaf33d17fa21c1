"""What an export leaves and the runtime opens: manifest, graphs, constants, inversions, and files in general."""
