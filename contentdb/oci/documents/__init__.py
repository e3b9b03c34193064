"""The documents of an image: manifests, indexes, platforms, and what hangs under them."""
