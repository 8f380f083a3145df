"""The mean-field limit held against finite networks trained by SGD, and methods against exact solutions."""

from wflow.validation.band import band
from wflow.validation.dean import dean
from wflow.validation.exact import Barenblatt, GaussianWell
from wflow.validation.fluctuations import fluctuations
from wflow.validation.orders import Orders, observed_orders
from wflow.validation.report import Report
from wflow.validation.report_file import load_report
from wflow.validation.sgd_drift import sgd_drift
from wflow.validation.sgd_noise import sgd_noise
from wflow.validation.validate import validate
from wflow.validation.verdicts import Verdict

__all__ = [
    "Barenblatt",
    "GaussianWell",
    "Orders",
    "Report",
    "Verdict",
    "band",
    "dean",
    "fluctuations",
    "load_report",
    "observed_orders",
    "sgd_drift",
    "sgd_noise",
    "validate",
]
