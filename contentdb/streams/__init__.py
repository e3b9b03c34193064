"""Streams between the caller and the store: sources, hashing, readers, exports."""
