"""Energies of pairs of points: a potential V and an interaction U, in closed form or as functions."""
