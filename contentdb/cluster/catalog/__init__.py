"""The rows of a store: each function is one statement or one transaction."""
