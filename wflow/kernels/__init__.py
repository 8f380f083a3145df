"""Compiled inner loops: plain arrays in, plain arrays out, no objects.

Nothing is imported here: numba takes half a second, and whoever needs a kernel imports its module.
"""
