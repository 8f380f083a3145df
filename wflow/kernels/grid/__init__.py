"""Finite volumes on grids."""
