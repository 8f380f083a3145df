"""Weighted particles drawn anew where few carry the weight."""

import numpy as np
import pytest
from flows import interacting
from same import same_bits

import wflow
from wflow import Particles
from wflow.measures.resampling import effective_size

FLOW = interacting(reaction_rate=8.0)


def cloud(n=400):
    return Particles(2.0 * np.random.default_rng(0).standard_normal((n, 1)))


def run(share, seed=0, t_end=1.0, **more):
    options = {"resample": share} if share else None
    sol = wflow.solve(
        FLOW, cloud(), (0, t_end), method_options=options, method="runge-kutta", seed=seed, **more
    )
    assert sol.success, sol.message
    return sol


def test_the_effective_size_stays_up():
    """Without it, 400 particles weigh as much as a few; with it, never fewer than the share, after a step."""
    least = [min(effective_size(m.weights()) for m in run(share).measures) for share in (0.0, 0.5)]
    assert least[0] < 150
    assert least[1] >= 200


def test_it_is_unbiased():
    exact, found = run(0.0), [run(0.7, seed) for seed in range(5)]
    off = np.array([sol.measures[-1].mean()[0] - exact.measures[-1].mean()[0] for sol in found])
    assert np.ptp(off) > 0  # it is drawn
    assert abs(off.mean()) < 2e-3
    assert all(abs(sol.risk[-1] - exact.risk[-1]) < 5e-3 for sol in found)


def test_the_same_seed_draws_the_same_and_a_cut_run_too(tmp_path):
    whole = run(0.7, 3)
    same_bits(run(0.7, 3), whole)
    path = tmp_path / "run.h5"
    cut = {"output": path, "max_steps": whole.stats["steps"] // 2}
    wflow.solve(
        FLOW, cloud(), (0, 1), method="runge-kutta", method_options={"resample": 0.7}, seed=3, **cut
    )
    same_bits(wflow.resume(path, FLOW), whole)


def test_frames_between_steps_are_had_and_nobody_is_followed():
    sol = run(0.7, t_eval=[0.123, 0.456, 1.0])
    assert sol.t.tolist() == [0.123, 0.456, 1.0]
    with pytest.raises(wflow.InputError, match="does not follow its particles"):
        sol(0.3)


@pytest.mark.parametrize("share", [-0.1, 1.5, "half", float("nan")])
def test_a_share_is_a_share(share):
    with pytest.raises(wflow.InputError, match="resample"):
        wflow.solvers.get_method("runge-kutta", {"resample": share})


def test_a_cloud_drawn_anew():
    rho = Particles(np.arange(4.0), [0.1, 0.2, 0.3, 0.4])
    found = rho.resampled(1000, seed=1)
    assert found.mass == pytest.approx(1.0, abs=1e-14)
    assert np.bincount(found.points()[:, 0].astype(int)) == pytest.approx(
        [100, 200, 300, 400], abs=1
    )
    assert rho.resampled(seed=1) == rho.resampled(seed=1)
    assert Particles([0.0, 1.0], [2.0, 2.0]).resampled(8).mass == pytest.approx(4.0)
