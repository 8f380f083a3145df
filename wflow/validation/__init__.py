"""The mean-field limit held against finite networks trained by SGD, and methods against exact solutions."""

from wflow.validation.band import band
from wflow.validation.coupling import step_study, width_study
from wflow.validation.dean import Dean, dean
from wflow.validation.dimensions import dimension_study
from wflow.validation.directions import Directions
from wflow.validation.exact import Barenblatt, GaussianWell
from wflow.validation.expectation import Band
from wflow.validation.fluctuations import Fluctuations, fluctuations
from wflow.validation.horizons import horizon_study
from wflow.validation.layers_report import LayersReport
from wflow.validation.orders import Orders, observed_orders
from wflow.validation.relaxation import relaxation_study
from wflow.validation.report import Report
from wflow.validation.report_file import load_report
from wflow.validation.sgd_drift import SgdDrift, sgd_drift
from wflow.validation.sgd_noise import SgdNoise, sgd_noise
from wflow.validation.trend import Trend, load_trend
from wflow.validation.validate import validate
from wflow.validation.verdicts import Verdict

__all__ = [
    "Band",
    "Barenblatt",
    "Dean",
    "Directions",
    "Fluctuations",
    "GaussianWell",
    "LayersReport",
    "Orders",
    "Report",
    "SgdDrift",
    "SgdNoise",
    "Trend",
    "Verdict",
    "band",
    "dean",
    "dimension_study",
    "fluctuations",
    "horizon_study",
    "load_report",
    "load_trend",
    "observed_orders",
    "relaxation_study",
    "sgd_drift",
    "sgd_noise",
    "step_study",
    "validate",
    "width_study",
]
