"""Upkeep of a store: verify, repair, reindex, prune, doctor, and the recovery at an opening."""
