"""What `make demo` runs: the main job, on real files, through the real commands."""
