"""Energies that need a grid: convolution by FFT, and local ones."""
