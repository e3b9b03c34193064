"""Between a registry and a store: pull, push, fetch, and how far they are."""
