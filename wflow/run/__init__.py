"""One run, whatever its state: solve, resume, the driver, trackers."""
