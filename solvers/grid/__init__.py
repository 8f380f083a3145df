"""Methods for densities on grids, one file each, found by itself; what they share is in ``parts``."""
