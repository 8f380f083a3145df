"""Evaluators of features, one file each, found by itself; what they are is in :mod:`wflow.energies.evaluator`."""
