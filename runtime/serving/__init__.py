"""From one photo to many: batches of files."""
