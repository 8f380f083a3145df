"""The figures of the sources, computed anew."""

from wflow.figures.catalogue import Figure, Results, figures, get_figure, reproduce

__all__ = ["Figure", "Results", "figures", "get_figure", "reproduce"]
