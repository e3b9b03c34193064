"""Bytes from and to the caller: sources, the pump that hashes them, readers, exports."""
