"""Sums over pairs of points of closed kernels."""
