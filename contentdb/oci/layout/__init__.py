"""Reads and writes OCI image layouts, as directories and as tars."""
