"""The documents of an image: manifests, indexes, platforms, and the tree of their parts."""
