"""The command line: ``wflow``."""
