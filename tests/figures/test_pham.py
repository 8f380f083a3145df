"""Networks of many layers at the width that their claims are about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from wflow.figures import get_figure
from wflow.figures.parts import error_split, iid_depths, iid_panels
from wflow.figures.parts.iid_depths import (
    DEPTHS,
    data,
    descended,
    escape,
    limit,
    network,
    one_vector,
    powers,
    straight,
)
from wflow.spaces import penalised

FLOW, STEP, T = data(), 0.1, np.linspace(0.0, 5.0, 11)


def gaps(depth: int, n: int, seeds: int) -> np.ndarray:
    """R_N − R at all times, a row a seed."""
    known = descended(FLOW, limit(depth), STEP, T).risk
    return np.array([network(FLOW, depth, n, s, STEP, T, False).risk - known for s in range(seeds)])


def test_the_risk_between_frames_is_that_of_the_frames() -> None:
    """What stretches of one step write down, and the frames of the same run."""
    from wflow.multilayer import iid_network

    seen = network(FLOW, 4, 20, 3, STEP, T, False)
    start = iid_network(limit(4), 20, 1.0, 20_003)
    np.testing.assert_allclose(seen.risk, descended(FLOW, start, STEP, T).risk, rtol=1e-12)


def test_what_steps_do_to_the_limit() -> None:
    """What they do to the limit is no less than what is seen of 2,000 neurons, so that networks take the same ones."""
    for depth, seen in zip(DEPTHS, (0.0011, 0.0091, 0.0117, 0.0141), strict=True):
        coarse, fine = (descended(FLOW, limit(depth), h, T).risk for h in (STEP, STEP / 20))
        assert seen / 2 < np.abs(coarse - fine).max() < 2 * seen


def test_a_network_that_does_not_escape_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its event fired or the time is NaN; a line goes through the widths that have two times or more."""
    at = escape(FLOW, 4, 25, 0)
    assert 1.0 < at < 50.0
    monkeypatch.setattr(iid_depths, "FOREVER", 0.9 * at)
    assert np.isnan(escape(FLOW, 4, 25, 0))
    times = np.array([[1.0, 1.2, np.nan], [2.0, 2.2, 2.1], [np.nan, np.nan, 9.0], [4.0, 4.2, 4.1]])
    (slope, level), _, _ = straight(np.array([1.0, 2.0, 3.0, 4.0]), times)
    assert (slope, level) == pytest.approx((1.0, 0.1), abs=0.02)
    assert np.isnan(straight(np.array([1.0, 2.0]), times[1:3])[0]).all()


def test_errors_of_powers_are_those_of_few_seeds() -> None:
    """The bootstrap of three values scatters by √(2/3) of what they do, which the delta method knows."""
    n, each = np.array([50, 100]), np.array([[1.0, 1.1, 1.2], [0.5, 0.56, 0.62]])
    relative = each.std(axis=1, ddof=1) / each.mean(axis=1) / np.sqrt(3)
    assert powers(n, each).error == pytest.approx(np.hypot(*relative) / np.log(2), rel=0.08)


def test_powers_and_lines_are_those_that_were_put_in() -> None:
    rng, n = np.random.default_rng(0), np.array([100, 200, 400, 800])
    each = 3.0 * n[:, None] ** -0.5 * rng.lognormal(0.0, 0.05, (4, 10))
    each[0] *= 2.0  # below 200 nothing is fitted
    each[3, 6:] = np.nan
    fit = powers(n, each)
    assert fit.value == pytest.approx(-0.5, abs=4 * fit.error)
    assert 0.005 < fit.error < 0.03
    times = 2.0 + 3.0 * np.log(n)[:, None] + 0.1 * rng.normal(size=(4, 12))
    times[3, 6:] = np.nan
    (slope, level), error, misfit = straight(np.log(n), times)
    assert slope == pytest.approx(3.0, abs=4 * error)
    assert level == pytest.approx(2.0, abs=0.5)
    assert misfit < 4
    assert straight(np.sqrt(n), times)[2] > 50


def test_a_certificate_counts_what_the_fit_itself_may_be_off() -> None:
    """A fit whose charges are 5% too small, and f the minimiser, whose excess is 0: they are apart all the same."""
    x = np.linspace(-1.0, 1.0, 20)
    y = error_split.target(x)
    best = penalised(x, y, 0.01, tolerance=1e-10)
    f, norm = 0.95 * best.predict(x), 0.95 * best.norm
    value = 0.5 * ((y - f) ** 2).mean() + 0.01 * norm
    short = replace(best, charges=0.95 * best.charges, norm=norm, objective=value)
    seen = ((best.predict(x) - short.predict(x)) ** 2).mean()
    assert 1e-4 < seen <= error_split.certified(best.objective, short) < 10 * seen
    assert seen <= error_split.certified(short.objective, best) < 10 * seen


def upper_ends(axis) -> np.ndarray:
    """Tops of the error bars of each curve."""
    bars = [c.lines[2][0].get_segments() for c in axis.containers]
    return np.array([[segment[:, 1].max() for segment in curve] for curve in bars])


def test_error_bars_are_shortened_below_alone() -> None:
    """On an axis of powers a bar cannot end below 0; above it is the standard error whatever that is."""
    gap = np.array([[0.0, 0.0, 3.0], [0.0, 0.0, 0.03]])
    axis = Figure().subplots()
    iid_panels._against(axis, np.array([10.0, 100.0]), gap, "black", "o", "")
    root, error = np.sqrt((gap**2).mean(axis=1)), (gap**2).std(axis=1, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(upper_ends(axis), [root + error / (2 * root)])
    size = {"particles": 6, "seeds": 2, "t_end": 0.1, "directions": 24, "dimension": 3}
    support = get_figure("chizat-support")
    results = support.compute(**size, teachers=2, units=(2, 3, 4), t_units=0.1)
    runs = np.array([[1e-4, 1.0]] * 3)
    for name in ("moving", "fixed"):
        results.arrays[name] = replace(results.arrays[name], values=runs)
    right = support.draw(results).axes[-1]
    np.testing.assert_allclose(upper_ends(right), np.full((2, 3), 1.0), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("depth", DEPTHS)
def test_networks_of_two_thousand_neurons_lie_within_the_band(depth: int) -> None:
    """Twelve networks of 200 neurons tell the band, which is narrower by √10 for 2,000.

    A network lies within two and a half deviations of it at all times, which those of 200 do not; and three layers lie
    far from the limit with a vector in the place of the matrix.
    """
    narrow, wide = gaps(depth, 200, 12), gaps(depth, 2000, 1)[0]
    band = 2.5 * np.sqrt((narrow**2).mean(axis=0).max()) / np.sqrt(10)
    print(depth, "band", band, "largest gap", np.abs(wide).max())
    assert np.abs(wide).max() < band
    assert np.abs(narrow).max() > band
    if depth == 3:
        known, wrong = (descended(FLOW, law, STEP, T).risk for law in (limit(3), one_vector()))
        assert np.abs(wide + known - wrong).max() > 3 * band


@pytest.mark.slow
@pytest.mark.parametrize("depth", [5, 6])
def test_what_middle_weights_move_by_becomes_one_number(depth: int) -> None:
    """The spread over entries of w_i(t) − w_i(0), 3 ≤ i ≤ L − 2: the power −½ of N from N = 200."""
    n, seeds = np.array([200, 400, 800, 1600]), (12, 8, 4, 2)
    each = np.full((depth - 4, n.size, max(seeds)), np.nan)
    for k, (size, count) in enumerate(zip(n, seeds, strict=True)):
        for s in range(count):
            each[:, k, s] = network(FLOW, depth, int(size), s, STEP, T, False).spread
    for layer, values in enumerate(each, start=3):
        fit = powers(n, values)
        print(depth, layer, f"{fit.value:.3f} ± {fit.error:.3f}")
        assert fit.value == pytest.approx(-0.5, abs=0.07)
        assert fit.error < 0.035
