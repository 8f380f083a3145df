"""Finite networks trained by SGD; their runs are Solutions whose measures are the neurons."""

from wflow.networks.train import sgd

__all__ = ["sgd"]
