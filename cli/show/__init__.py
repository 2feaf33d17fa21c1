"""What commands print: progress and tables."""
