"""The verbs of the command line, by task; ``whosings.cli`` registers them."""
