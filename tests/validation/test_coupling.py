"""Networks of many layers beside their limit: powers of the width and of the step size."""

import numpy as np
import pytest

from wflow.errors import ComputationError, InputError
from wflow.multilayer import Ensemble, Flow, iid_limit, normal_atoms
from wflow.validation import load_trend, step_study, width_study

RNG = np.random.default_rng(11)
X = RNG.normal(size=(20, 3))
FLOW = Flow(X, np.sin(X[:, 0]) + 0.5 * X[:, 1])


def limit(depth):
    if depth == 2:
        return Ensemble(
            [normal_atoms(512, 3).points(), normal_atoms(512, 1, seed=1).points()[:, 0]]
        )
    return iid_limit(depth, normal_atoms(256, 3), normal_atoms(16, 1, mean=0.5), 0.8)


def study(depth, widths, seeds):
    std = None if depth == 2 else 1.0
    return width_study(
        FLOW, limit(depth), widths, horizon=2.0, std=std, seeds=seeds, rtol=1e-4, workers=1
    )


def test_a_study_of_widths(tmp_path):
    found = study(3, (20, 50, 125), 12)
    assert found.passed, found.table()
    rms, largest = (found.curves[k] for k in list(found.curves)[:2])
    assert (np.diff(rms.value) < 0).all()
    assert (largest.value > 2 * rms.value).all()
    found.save(tmp_path / "study.h5")
    again = load_trend(tmp_path / "study.h5")
    assert again.table() == found.table()
    found.plot(tmp_path / "study.png")
    assert (tmp_path / "study.png").stat().st_size > 10_000


def test_another_limit_fails():
    """A limit of other middle means is not approached."""
    near = limit(3)
    wrong = Ensemble(
        [near.weights[0], near.weights[1] + 2.0, near.weights[2]], None, near.probabilities
    )
    with pytest.MonkeyPatch.context() as patch:
        # Networks come from the right one.
        from wflow.multilayer import coupling

        drawn = coupling.iid_network
        patch.setattr(coupling, "iid_network", lambda first, *rest: drawn(near, *rest))
        found = width_study(
            FLOW, wrong, (20, 60, 180), horizon=2.0, std=1.0, seeds=8, rtol=1e-4, workers=1
        )
    assert not found.passed


def test_a_study_of_step_sizes():
    found = step_study(
        FLOW,
        limit(3),
        (0.0125, 0.025, 0.05),
        horizon=1.0,
        width=30,
        std=1.0,
        seeds=6,
        rtol=1e-4,
        workers=1,
    )
    assert found.passed, found.table()
    (verdict,) = found.verdicts
    assert 0.4 < verdict.value < 0.7


@pytest.mark.slow
@pytest.mark.parametrize("depth", [2, 4])
def test_half_a_power_of_the_width(depth):
    found = study(depth, (30, 60, 120), 12)
    rms, _ = found.verdicts
    # Its own standard error is some .05.
    assert abs(rms.value + 0.5) < 0.15, found.table()
    assert found.passed, found.table()


@pytest.mark.slow
@pytest.mark.parametrize("depth", [2, 3, 4])
def test_half_a_power_of_the_step(depth):
    std = None if depth == 2 else 1.0
    found = step_study(
        FLOW, limit(depth), horizon=2.0, width=60, std=std, seeds=8, rtol=1e-4, workers=1
    )
    assert found.passed, found.table()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: width_study(FLOW, limit(3), (10, 20), horizon=1.0), "a power is fitted through 3 or more"),
        (lambda: width_study(FLOW, limit(3), horizon=-1.0), "horizon = -1: must be positive"),
        (lambda: width_study(FLOW, limit(3), horizon=1.0, seeds=1), "seeds = 1: give a whole number of at least 2"),
        (lambda: step_study(FLOW, limit(3), (0.1, 0.2, 0.4), horizon=1.0), "give shorter steps"),
        (lambda: step_study(FLOW, X, horizon=1.0), "limit is a ndarray: pass a wflow.multilayer.Ensemble"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(make, words):
    with pytest.raises(InputError, match=words) as told:
        make()
    assert "\n" not in str(told.value)


def test_networks_that_are_their_limit_carry_no_power():
    """Two neurons of two atoms may be the atoms themselves: there is no difference to take a logarithm of."""
    atoms = Ensemble([[[1.0, 0.0, 0.5], [0.5, 1.0, -1.0]], [1.0, 2.0]])
    with pytest.raises(
        ComputationError, match="no power is fitted through 0, the difference of network"
    ):
        width_study(FLOW, atoms, (2, 3, 4), horizon=0.1, seeds=8, rtol=1e-3, workers=1)


def test_few_atoms_bear_no_logarithm():
    """The bound on the largest difference reaches down by the power that √log N has over these widths."""
    atoms = Ensemble([[[1.0, 0.0, 0.5], [0.5, 1.0, -1.0], [0.1, 0.2, 0.3]], [1.0, 2.0, 0.5]])
    found = width_study(FLOW, atoms, (16, 32, 64), horizon=0.2, seeds=3, rtol=1e-3, workers=1)
    own = width_study(
        FLOW, limit(3), (4, 6, 8), horizon=0.2, std=1.0, seeds=2, rtol=1e-3, workers=1
    )
    power = np.polyfit(np.log([16, 32, 64]), 0.5 * np.log(np.log([16, 32, 64])), 1)[0]
    assert found.verdicts[1].bound == pytest.approx((-0.57 - power, -0.43), rel=1e-12)
    for verdict in (own.verdicts[1], found.verdicts[0]):
        assert verdict.bound == pytest.approx((-0.57, -0.43), rel=1e-12)


def test_a_study_says_how_far_it_is(capsys):
    small = {"horizon": 0.2, "std": 1.0, "seeds": 2, "rtol": 1e-3, "workers": 2}
    loud = width_study(FLOW, limit(3), (4, 6, 8), **small, progress=True)
    step_study(FLOW, limit(3), (0.004, 0.008, 0.016), width=4, **small, progress=True)
    assert capsys.readouterr().err.splitlines() == [
        "wflow: 6 networks, the study of N",
        "wflow: 2 networks, the study of the step size",
    ]
    quiet = width_study(FLOW, limit(3), (4, 6, 8), **(small | {"workers": 1}))
    assert capsys.readouterr().err == ""
    # In whatever order they were ready.
    assert quiet.table().splitlines()[:-1] == loud.table().splitlines()[:-1]
    with pytest.raises(InputError, match="progress"):
        width_study(FLOW, limit(3), (4, 6, 8), **small, progress="yes")
