"""Very many photos: a ledger of what became of each, workers that die without harm, and who watches them."""
