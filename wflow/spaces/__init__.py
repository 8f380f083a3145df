"""The function spaces behind mean-field and lazy training: F₁ of variation norm, F₂ of its kernel."""

from wflow.spaces.margins import Margin, max_margin

__all__ = ["Margin", "max_margin"]
