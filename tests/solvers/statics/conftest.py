"""The problems that the statics are tested on."""

import numpy as np
import pytest

import wflow
from wflow.energies import PairEnergy

PLACES, VARIANCES, CHARGES = (-2.0, 0.0, 2.0), (0.5, 1.0, 0.5), (1.0, -2.0, 1.0)


def normal(x, variance):
    return np.exp(-(x**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


class Mixture:
    """f = ⅓Σ c_s N(x; y_s, v_s) by units cN(x; y, ½): F, K and C = ∫f² in closed form."""

    constant = sum(
        a * b / 9 * normal(y - z, v + u)
        for a, y, v in zip(CHARGES, PLACES, VARIANCES, strict=True)
        for b, z, u in zip(CHARGES, PLACES, VARIANCES, strict=True)
    )

    @staticmethod
    def target(at):
        terms = zip(CHARGES, PLACES, VARIANCES, strict=True)
        return sum(c / 3 * normal(at[..., 0] - y, v + 0.5) for c, y, v in terms)

    @staticmethod
    def kernel(y, z):
        return normal((y - z)[..., 0], 1.0)

    def energy(self):
        return PairEnergy(
            lambda p: -p[..., 0] * self.target(p[..., 1:]),
            lambda p, q: p[..., 0] * q[..., 0] * self.kernel(p[..., 1:], q[..., 1:]),
            grad_V=self.slope_of_v,
            grad_U=self.slope_of_u,
            dimension=2,
            constant=self.constant,
            coordinates=("c", "y"),
        )

    def slope_of_v(self, p):
        y = p[..., 1]
        terms = list(zip(CHARGES, PLACES, VARIANCES, strict=True))
        slope = sum(-c / 3 * normal(y - z, v + 0.5) * (y - z) / (v + 0.5) for c, z, v in terms)
        return -np.stack([self.target(p[..., 1:]), p[..., 0] * slope], axis=-1)

    def slope_of_u(self, p, q):
        k = q[..., 0] * self.kernel(p[..., 1:], q[..., 1:])
        away = p[..., 1] - q[..., 1]
        return np.stack([k, -p[..., 0] * k * away], axis=-1)

    @staticmethod
    def points(c_max, n):
        """Ψ is linear in c: the ends and 0 suffice."""
        axes = np.meshgrid([-c_max, 0.0, c_max], np.linspace(-6, 6, n), indexing="ij")
        return np.stack(axes, axis=-1).reshape(-1, 2)


@pytest.fixture
def mixture():
    return Mixture()


@pytest.fixture
def gaussians():
    def energy(delta, d=40):
        return wflow.systems.get("isotropic-gaussians", d=d, delta=delta).energy()

    return energy
