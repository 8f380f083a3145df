"""The mean-field limit held against finite networks trained by SGD."""

from wflow.validation.report import Report
from wflow.validation.validate import validate

__all__ = ["Report", "validate"]
