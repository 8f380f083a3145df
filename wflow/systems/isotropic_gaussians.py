"""Two isotropic Gaussians told apart by the scale of x."""

from __future__ import annotations

from wflow.systems.catalogue import system
from wflow.systems.shared.radial_gaussians import RadialGaussians, shared_parameters
from wflow.tools.parameters import Parameter


@system
class IsotropicGaussians(RadialGaussians):
    """y = ±1, x ~ N(0, (1±Δ)²I_d); σ a truncated ramp from −2.5 to 7.5."""

    name = "isotropic-gaussians"
    title = "two isotropic Gaussians, truncated ramp, radial reduction"
    source = "Mei, Montanari & Nguyen, PNAS 115 (2018) E7665, Figs. 1 and 2"
    parameters = (
        *shared_parameters(40, "scale", 0.8, 6.5),
        Parameter(
            "kappa",
            0.8,
            "weights start as N(0, kappa^2/d I)",
            low=0,
            open_low=True,
            published="0.8",
        ),
    )
    knots = ((0.5, -2.5), (1.5, 7.5))
    t_end = 10.0
    t_eval = (0.0, 0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 10.0)
    sgd = {"n_neurons": 800, "step_size": 1e-6, "batch_size": 1}  # noqa: RUF012

    def start_radius(self) -> float:
        return float(self.kappa)
