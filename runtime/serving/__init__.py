"""From one photo to many: batches of files, and of very many through a ledger."""
