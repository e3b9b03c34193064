"""``python -m contentdb`` is the command ``contentdb``."""

from contentdb.cli import main

if __name__ == "__main__":
    main()
