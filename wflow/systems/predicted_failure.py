"""A non-monotone activation on which SGD fails from a small start, as the limit predicts."""

from __future__ import annotations

from wflow.systems.catalogue import system
from wflow.systems.shared.radial_gaussians import RadialGaussians, shared_parameters
from wflow.tools.parameters import Parameter


@system
class PredictedFailure(RadialGaussians):
    """y = ±1, x ~ N(0, (1±Δ)I_d); σ dips before it rises, so w = 0 attracts small weights (R = 7.25).

    SGD fails like its limit as long as its own noise is small: at κ = 0.1 it rests near 7.25 + 3e4 ε at ε = 1e-6 and
    1e-5, near 7.88 at 2e-5, and at 4e-5 noise drives it out of the failure: R = 0.44 at t = 0.3. The source does not
    say its step: the figure takes 1e-6, SGD by default 1e-5. Runs end at t = 1, where both starts have long been
    decided: the bad one is at 7.25 from t = 0.05 on, the good one at 0.183.
    """

    name = "predicted-failure"
    title = "predicted failure: non-monotone activation, bad and good start"
    source = "Mei, Montanari & Nguyen, PNAS 115 (2018) E7665, Fig. 4"
    parameters = (
        *shared_parameters(320, "variance", 0.5, 5.0),
        Parameter(
            "kappa",
            0.1,
            "weights start as N(0, kappa^2/d I): 0.1 fails, 0.4 learns",
            low=0,
            open_low=True,
            published="0.1, 0.4",
        ),
    )
    knots = ((0.0, -2.5), (0.5, -4.0), (1.5, 7.5))
    t_end = 1.0
    t_eval = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    sgd = {"n_neurons": 800, "step_size": 1e-5, "batch_size": 1}  # noqa: RUF012

    def start_radius(self) -> float:
        return float(self.kappa)
