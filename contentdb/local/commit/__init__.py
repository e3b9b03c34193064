"""Bytes become blobs, one by one or in groups that share the cost of durability."""
