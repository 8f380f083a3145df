"""Stochastic gradient descent of finite networks."""
