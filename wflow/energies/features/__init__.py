"""Energies from features at weighted nodes."""
