"""``python -m whosings`` is the command line."""

from whosings.cli import main

if __name__ == "__main__":
    main()
