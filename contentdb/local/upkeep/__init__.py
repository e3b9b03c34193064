"""Looking after a store: verify, repair, reindex, prune, doctor, and what an opening finishes."""
