"""Methods for weighted particles, one file each, found by itself; what they share is in ``parts``."""
