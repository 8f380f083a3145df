"""Critical parameters: brackets of known roots, branches that are followed, Δ_h and κ_c at two resolutions."""

import numpy as np
import pytest
from scipy.optimize import brentq

import wflow
from wflow.errors import InputError
from wflow.solvers.statics import critical, stability
from wflow.systems import get


@pytest.mark.parametrize("digits", [1, 3, 7])
@pytest.mark.parametrize("root", [0.0123456789, 3.14159, 98765.4321])
def test_a_known_root(root, digits):
    found = critical(lambda x: x > root, root / 10, 7 * root, digits=digits)
    assert found.success
    assert found.low <= root <= found.high
    assert found.high - found.low <= 0.5 * 10 ** (np.floor(np.log10(found.middle)) + 1 - digits)
    assert (found.below, found.above) == (False, True)
    assert found.tried[0] == (root / 10, False)
    fewer = critical(lambda x: x > root, root / 10, 7 * root, digits=digits, max_calls=4)
    assert len(fewer.tried) == 4
    assert fewer.overlaps(found)
    assert not fewer.success or digits == 1


def test_a_third_outcome_counts_as_above():
    found = critical(lambda x: "low" if x < 1 else "middle" if x < 1.5 else "high", 0.0, 2.0)
    assert found.low <= 1 <= found.high
    assert (found.below, found.above) == ("low", "middle")


def test_a_branch_is_followed_to_its_fold():
    """x³ − x + c = 0 from x = 1 at c = 0: the branch ends at c = 2/√27. Each c is handed the root at the lower end."""
    handed = []

    def branch(c, x):
        handed.append((c, x))
        for _ in range(60):
            x -= (x**3 - x + c) / (3 * x**2 - 1)
        return bool(abs(x**3 - x + c) < 1e-9 and x > 0.5), x

    fold = critical(branch, 0.0, 0.6, digits=4, start=1.0)
    assert fold.low <= 2 / np.sqrt(27) <= fold.high
    for k, (_, x) in enumerate(handed[1:], 1):
        below = max(c for c, stays in fold.tried[:k] if stays)
        assert x**3 - x + below == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"low": 2.0, "high": 1.0}, r"low = 2 and high = 1: give low < high"),
        ({"low": 3.0, "high": 4.0}, r"the outcome is True at both 3 and 4: give ends between"),
        ({"digits": 0}, "digits = 0"),
        ({"max_calls": 2}, "max_calls = 2"),
        (
            {"outcome": lambda x: np.arange(2)},
            "cannot be compared: return a word, a flag or a number",
        ),
        ({"start": 1.0, "outcome": lambda x, s: x}, r"with a start give a pair \(outcome, state\)"),
        ({"outcome": 3}, "outcome"),
    ],
)
def test_what_is_refused(change, words):
    given = {"outcome": lambda x: x > 1.5, "low": 1.0, "high": 2.0} | change
    with pytest.raises(InputError, match=words):
        critical(**given)
    with pytest.raises(InputError, match="give another Bracket"):
        critical(lambda x: x > 1.5, 1.0, 2.0).overlaps(3)


def one_shell(d, r):
    """Whether the best single shell of A3 is the best law, followed in Δ by Newton's method on its radius."""

    def outcome(delta, radius):
        energy = get("isotropic-gaussians", d=d, delta=delta).energy()
        for _ in range(20):
            shell = wflow.Particles([[radius]], names=("r",))
            at = stability(energy, shell, where=r)
            slope = energy.prepare(shell.points()).field(np.ones(1)).gradient()[0, 0]
            radius += slope / at.rates[0]
            if abs(slope) < 1e-12:
                break
        return bool(at.splits[0] <= 0 and at.depth <= 1e-12), radius

    return outcome


@pytest.mark.parametrize(
    "d, known", [(np.inf, 0.4742), pytest.param(40, 0.4312, marks=pytest.mark.slow)]
)
def test_one_shell_ends_at_delta_h(d, known):
    """Δ_h of MMN's Fig. 2, r ≤ 50: 0.474 at d = ∞, as known; at d = 40 mass at the wall pays before it splits."""
    coarse, fine = (
        critical(one_shell(d, np.linspace(0, 50, n)), 0.3, 0.6, digits=4, start=1.52)
        for n in (201, 801)
    )
    assert coarse.success
    assert fine.success
    assert coarse.overlaps(fine)
    assert fine.low <= known + 5e-5
    assert known - 5e-5 <= fine.high
    near = critical(one_shell(d, np.linspace(0, 6.5, 201)), 0.3, 0.6, digits=4, start=1.52)
    split = critical(one_shell(d, np.array([1.5])), 0.3, 0.6, digits=4, start=1.52)
    if np.isinf(d):
        assert near.overlaps(fine)
        assert split.overlaps(fine)
    else:
        assert near.middle == pytest.approx(0.4327, abs=1e-4)
        assert split.middle == pytest.approx(0.4425, abs=1e-4)


def end(kappa, n, t_end, d=320, rtol=1e-4):
    system = get("predicted-failure", d=d, kappa=kappa)
    start = system.initial("particles", n)
    return wflow.solve(system.flow(), start, (0, t_end), t_eval=[t_end], rtol=rtol).risk[-1]


def test_kappa_c_in_infinitely_many_dimensions_is_the_root_of_the_slope():
    energy = get("predicted-failure", d=np.inf).energy()
    root = brentq(
        lambda r: energy.prepare(np.array([[r]])).field(np.ones(1)).gradient()[0, 0], 0.1, 0.5
    )
    found = critical(lambda k: bool(end(k, 1, 3.0, np.inf) < 3.7), 0.1, 0.4, digits=4)
    assert found.success
    assert found.low - 1e-6 <= root <= found.high + 1e-6
    assert root == pytest.approx(0.247505, abs=1e-6)


@pytest.mark.slow
def test_kappa_c_at_320_dimensions_hardly_depends_on_particles_and_time():
    """Half of the fall of R, from 7.25 to .18: κ_c = .240; neurons go to either side of it, so that R has no jump."""
    found = {
        (n, t): critical(lambda k, n=n, t=t: bool(end(k, n, t) < 3.7), 0.22, 0.26, digits=4)
        for n, t in ((50, 2.0), (100, 2.0), (100, 4.0))
    }
    middles = {key: bracket.middle for key, bracket in found.items()}
    assert all(bracket.success for bracket in found.values())
    assert middles[100, 2.0] == pytest.approx(0.2400, abs=4e-4)
    assert abs(middles[50, 2.0] - middles[100, 2.0]) < 5e-4
    assert abs(middles[100, 4.0] - middles[100, 2.0]) < 1e-3
    assert 1.5 < end(0.245, 100, 2.0) < 3.7 < end(0.2385, 100, 2.0) < 5, "no jump in between"


def test_no_number_is_one_outcome_and_middles_do_not_overflow():
    with pytest.raises(InputError, match="the outcome is nan at both 0 and 1"):
        critical(lambda x: float("nan"), 0.0, 1.0)
    assert critical(lambda x: x > 1.2e308, 1e308, 1.7e308).middle == pytest.approx(
        1.2e308, rel=1e-2
    )
