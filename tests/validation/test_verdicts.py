"""Verdicts: when they pass, what they say of known power laws, and that a failed one ends the command with 1."""

import json

import numpy as np
import pytest

import wflow
from wflow.cli.main import main
from wflow.errors import StorageError
from wflow.validation import Report, load_report
from wflow.validation.exponents import NEXT
from wflow.validation.intervals import deviation_band
from wflow.validation.judgement import unjudged
from wflow.validation.prediction import lost
from wflow.validation.rates import Rates
from wflow.validation.reference import output_scatter
from wflow.validation.steps import StepEffect
from wflow.validation.study import Plan, default_horizon, of_samples, times_up_to
from wflow.validation.verdicts import verdict, verdict_table

WIDTHS = np.array([50, 100, 200, 400])
C, V, S, T = 3.0, 2.0, 4.0, 2


def study(fluctuation=-0.5, bias=-1.0, left=0.0, seeds=64, noise=0.5, c=C):
    """A study whose networks follow given powers exactly in law."""
    rng = np.random.default_rng(3)
    n = WIDTHS[:, None, None].astype(float)
    normal = rng.standard_normal((4, seeds, 1)) * np.ones((1, 1, T))
    steps = np.array([1e-4, 5e-5, 2.5e-5])
    noisy = rng.chisquare(30, (2, 3, 10, T)) / 30
    square = rng.chisquare(30, (4, seeds, 1)) / 30 * np.ones((1, 1, T))
    noisy /= noisy.mean(axis=2, keepdims=True)
    square /= square.mean(axis=1, keepdims=True)
    limit = np.array([1.0, 0.5])
    off = 0.05 * np.sqrt(V) * n**fluctuation * normal / normal.std(axis=1, ddof=1, keepdims=True)
    return Rates(
        t=np.array([0.5, 1.0]),
        widths=WIDTHS,
        steps=steps,
        risk=limit + left + c * n**bias + off - off.mean(axis=1, keepdims=True),
        output=V * n ** (2 * fluctuation) * square + S * steps[0],
        transport=0.3 * n**-0.5 * (1 + 0.1 * normal),
        lipschitz=0.2 * n**-0.5 * (1 + 0.1 * normal),
        control=np.zeros((4, seeds, T)),
        limit=limit,
        limit_error=np.full(T, 1e-9),
        excess=np.full(T, V),
        noise_risk=limit + 1e-6 * rng.standard_normal((2, 3, 20, T)),
        noise_output=S * steps[:, None, None] ** (2 * noise) * noisy
        if noise == 0.5
        else S * steps[0] * (steps[:, None, None] / steps[0]) ** (2 * noise) * noisy,
    )


def report(rates, **more):
    class Limit:
        risk = np.array([1.0, 0.5])

    n = np.array([800])
    return Report(
        system="synthetic",
        parameters={},
        t=np.array([0.0, 1.0]),
        neurons=n,
        step_sizes=np.array([1e-4]),
        limits={"particles": Limit()},
        risk=Limit.risk + 3.0 / 800 + 1e-4 * np.arange(-4, 4)[None, None, :, None] * np.ones(2),
        distance=np.full((1, 1, 8, 2), 0.01),
        laws=np.empty(0),
        limit_errors={"particles": np.zeros(2)},
        rates=rates,
        **{"step": StepEffect(np.zeros((1, 2)), np.zeros((1, 2)))} | more,
    )


def by_name(found):
    return {v.name: v for v in found.verdicts}


def test_a_verdict_passes_when_band_and_bound_meet():
    line = verdict("slope", -0.43, 0.03, -0.55, -0.45)
    assert (line.name, line.value, line.passed) == ("slope", -0.43, True)
    assert line.band == pytest.approx((-0.46, -0.40))
    assert line.bound == (-0.55, -0.45)
    assert not verdict("slope", -0.43, 0.01, -0.55, -0.45).passed
    assert not verdict("slope", np.nan, 0.01, -0.55, -0.45).passed
    assert verdict("at least", 0.7, 0.1, 0.45, np.inf).passed
    assert verdict("any", 0.7, 0.1, -np.inf, np.inf).passed
    head, one = verdict_table([line])
    assert head.split() == ["verdict", "measured", "interval", "allowed", "ok"]
    assert one.split() == ["slope", "-0.43", "-0.46", "…", "-0.4", "-0.55", "…", "-0.45", "yes"]
    with pytest.raises(AttributeError):
        line.passed = False  # frozen


def test_a_band_that_would_pass_anything_is_open():
    line = verdict("slope", -0.43, 0.3, -0.55, -0.45, [-0.25])
    assert (line.passed, line.decides, line.ok) == (True, False, "open")
    assert verdict("slope", -0.43, 0.1, -0.55, -0.45, [-0.25]).ok == "yes"
    assert verdict("slope", 0.43, 0.3, -0.55, -0.45, [-0.25]).ok == "NO"
    assert verdict_table([line])[-1].startswith("open: ")
    # Of 8 numbers a standard deviation may be half or more than twice what it seems.
    few, many = np.random.default_rng(0).standard_normal((2, 200))
    assert deviation_band(few[:8])[1] > 2 * few[:8].std()
    assert deviation_band(many)[1] < 1.3 * many.std()


@pytest.mark.parametrize("seeds, said", [(8, "open"), (400, "yes")])
def test_few_seeds_leave_a_power_open(seeds, said):
    rates = study(seeds=seeds)
    rates.output[:] = (
        V
        / WIDTHS[:, None, None]
        * 2
        * np.random.default_rng(0).chisquare(1, (len(WIDTHS), seeds, 1))
        + S * rates.steps[0]
    )
    assert by_name(report(rates))["|f_N - f|: exponent of N"].ok == said


def test_known_powers_pass_with_their_error_bars():
    rates = study()
    found = by_name(report(rates))
    assert all(v.passed for v in found.values()), [v for v in found.values() if not v.passed]
    slope = found["|f_N - f|: exponent of N"]
    assert slope.value == pytest.approx(-0.5, abs=1e-9)
    # From variances whose relative error is √(2/30)/√64 a width, with a next order that is 0 within NEXT.
    rows = np.stack([np.ones(4), np.log(WIDTHS), WIDTHS[0] / WIDTHS], axis=1)
    rows = np.vstack([rows / (0.5 * np.sqrt(2 / 30) / 8), [0.0, 0.0, 1 / NEXT]])
    exact = np.sqrt(np.linalg.inv(rows.T @ rows)[1, 1])
    assert rates.fluctuation("output").error == pytest.approx(exact, rel=0.2)
    assert found["mean R_N - R: exponent of N"].value == pytest.approx(-1.0, abs=1e-3)
    assert found["SGD noise in f: exponent of the step size"].value == pytest.approx(0.5, abs=1e-9)
    c, error, _ = rates.bias()
    np.testing.assert_allclose(c, C, atol=1e-3)
    # Of c by least squares on 1/N and 1/N² with weights 1/s.e., to the error of resampling.
    rows = np.stack([1 / WIDTHS, 1 / WIDTHS**2], axis=1)
    se = rates.gap()[1][:, 0]
    exact = np.sqrt(np.linalg.inv((rows / se[:, None] ** 2).T @ rows)[0, 0])
    assert error[0] == pytest.approx(exact, rel=0.2)


@pytest.mark.parametrize(
    "wrong, name",
    [
        ({"fluctuation": -0.3}, "|f_N - f|: exponent of N"),
        ({"bias": -0.5}, "mean R_N - R: exponent of N"),
        ({"left": 1.0}, "mean R_N - R at t = 1: left as N grows"),
        ({"noise": 0.2}, "SGD noise in f: exponent of the step size"),
    ],
    ids=str,
)
def test_another_power_fails(wrong, name):
    found = report(study(**wrong))
    assert not by_name(found)[name].passed
    assert not found.passed
    assert "NO" in found.table().split(name)[1].splitlines()[0]


def test_a_bias_of_zero_has_no_exponent():
    found = by_name(report(study(c=0.0)))
    assert "mean R_N - R: exponent of N" not in found


def test_predictions_stand_beside_what_is_measured():
    rates = study()
    for factor, passed in ((1.0, True), (1.6, False)):
        rates.predicted = {
            "bias": np.full(T, factor * C),
            "output_variance": np.full(T, factor * V),
        }
        found = by_name(report(rates, predicted={"bias": np.full(2, factor * C)}))
        for name in (
            "c of c/N in mean R_N - R at t = 1",
            "N |f_N - f|^2 at t = 1",
            "N = 800: mean R_N - R at t = 1",
        ):
            assert found[name].passed is passed, found[name]
        middle = np.mean(found["N = 800: mean R_N - R at t = 1"].bound)
        assert middle == pytest.approx(factor * C / 800)
    # What the step size adds is counted too, and without a measure of it nothing is said.
    longer = StepEffect(np.full((1, 2), 10.0), np.zeros((1, 2)))
    value, unsure = report(None, predicted={"bias": np.zeros(2)}, step=longer).expected()
    np.testing.assert_allclose(value, 10.0 * 1e-4)
    np.testing.assert_allclose(unsure, 0.25 * 10.0 * 1e-4)
    assert not report(None, predicted={"bias": np.full(2, C)}, step=None).verdicts


@pytest.mark.parametrize(
    "name, line, note",
    [
        ("bias", "c of c/N in mean R_N - R at t = 1", "the mean"),
        ("output_variance", "N |f_N - f|^2 at t = 1", "|f_N - f|"),
        ("risk_variance", "N Var R_N at t = 1", "the scatter of R_N"),
    ],
)
def test_a_prediction_that_is_lost_is_no_line_but_a_note(name, line, note):
    known = {"bias": np.full(T, C), "output_variance": np.full(T, V), "risk_variance": np.ones(T)}
    rates = study(seeds=8)
    rates.predicted = known
    assert line in by_name(report(rates))
    known[name] = np.array([1.0, np.nan])
    found = by_name(report(rates))
    assert line not in found
    assert {"N |f_N - f|^2 at t = 1", "c of c/N in mean R_N - R at t = 1"} - {line} <= set(found)
    (said,) = lost(rates.t, known)
    assert said.startswith(f"{note} is not predicted from t = 1 on")


def test_where_c_is_not_predicted_smaller_networks_tell_it():
    found = report(study())
    value, unsure = found.expected()
    np.testing.assert_allclose(value, [[np.nan, C / 800]], atol=1e-5)
    assert 0 < unsure[0, 1] < 0.3 * C / 800
    assert by_name(found)["N = 800: mean R_N - R at t = 1"].passed
    other = report(study(c=2 * C))
    assert not by_name(other)["N = 800: mean R_N - R at t = 1"].passed


def test_a_sample_of_the_limit_is_held_against_the_flows_of_the_networks_own_starts():
    own = np.array([1.0, 0.5]) + 0.1 * np.arange(8)[None, :, None] * np.ones(2)
    for step, passed in ((0.0, True), (0.3, False)):
        found = report(None, own=own)
        found.risk = own[:, None] + step + 1e-4 * np.arange(-4, 4)[None, None, :, None]
        (line,) = found.verdicts
        assert line.name == "N = 800: mean R_N - R of its own flow at t = 1"
        assert line.passed is passed
        assert line.value == pytest.approx(step - 5e-5)


def test_the_scatter_over_seeds_is_held_against_the_predicted_one():
    """σ² = V/N + W/N², of which 8 seeds with σ = 2.45e-4 tell a factor of 2.5 at most."""
    rates = study()
    rates.noise_risk = np.repeat(rates.limit + np.zeros((2, 3, 1, T)), 20, axis=2)
    for v, passed in ((4.8e-5, True), (4.8e-3, False)):
        both = {f"{of}_variance": np.full(2, v) for of in ("risk", "square")}
        zero = {f"{name}_error": np.zeros(2) for name in both} | {"bias": np.full(2, 0.1)}
        line = by_name(report(rates, predicted=both | zero))["N = 800: s.d. of R_N at t = 1"]
        # Beside a bias of c/N > √(V/N) the second order scatters too, and nothing is said.
        zero["bias"] = np.full(2, 10.0)
        found = by_name(report(rates, predicted=both | zero))
        assert "N = 800: s.d. of R_N at t = 1" not in found
        assert line.value == pytest.approx(1e-4 * np.sqrt(6.0))
        assert line.passed is passed
        assert np.mean(line.bound) == pytest.approx(np.sqrt(v / 800 + v / 800**2), rel=1e-3)


def test_a_slope_of_gaps_is_as_open_as_the_limit_is():
    """Gaps of 3/N, of which the limit's error takes or leaves a tenth at N = 400."""
    rates = study()
    rates.limit_error = np.full(T, 0.1 * C / 400)
    _, unsure = rates.bias_exponent()
    up = np.polyfit(np.log(WIDTHS), np.log(C / WIDTHS - 0.1 * C / 400), 1)[0] + 1.0
    assert unsure == pytest.approx(abs(up), rel=0.1)


def test_the_exponent_of_the_scatter_is_judged_where_predictions_say_it_has_one():
    """What is measured has no say: N^-.35 is held against −½ and fails."""
    name, known = (
        "R_N over seeds: exponent of N",
        dict.fromkeys(("risk_variance", "bias"), np.ones(T)),
    )
    rates = study(fluctuation=-0.35, seeds=400)
    rates.predicted = known | {"square_variance": np.full(T, 4.9)}
    found = report(rates)
    assert not by_name(found)[name].passed
    assert not found.remarks
    for change, why in (
        ({"square_variance": 5.1}, "V/N does not lead at N = 50"),
        ({"bias": 8.0}, "V/N does not lead at N = 50"),
        ({"risk_variance": np.nan}, "V and W are not predicted"),
    ):
        rates.predicted = known | {of: np.full(T, value) for of, value in change.items()}
        rates.predicted.setdefault("square_variance", np.ones(T))
        assert unjudged(rates) == (
            f"R_N over seeds, of variance V/N + W/N^2: its exponent of N is not judged, as {why}",
        )
    found = report(study(seeds=8))
    assert name not in by_name(found)
    assert "note: R_N over seeds, of variance" in found.table()


def test_distances_of_laws_are_not_judged_where_sgd_moves_them():
    """W2² = a(1/N + 1/500): a slope of −.38, and no failure of the limit."""
    rates = study()
    name = "W2 of the law: exponent of N"
    assert by_name(report(study()))[name].passed
    noise = V / 500 - S * rates.steps[0]
    rates.output = rates.output + noise
    rates.noise_output = rates.noise_output + noise
    rates.transport = 0.3 * np.sqrt(1 / WIDTHS + 1 / 500)[:, None, None] * np.ones((1, 64, T))
    found = report(rates)
    assert by_name(found)["|f_N - f|: exponent of N"].passed
    assert not set(by_name(found)) & {name, "bounded Lipschitz of the law: exponent of N"}
    assert "note: distances of laws: their exponents of N are not judged" in found.table()


def test_a_next_order_is_no_other_power_and_a_note_says_so():
    """‖f_N − f‖ = N^−½ (1 + 50/N): a slope of −.78 through four widths, and no failure of the limit."""
    name = "|f_N - f|: exponent of N"
    for power, passed in ((-0.5, True), (-0.1, False)):
        rates, n = study(fluctuation=power), WIDTHS[:, None, None]
        signal = (rates.output - S * rates.steps[0]) * (1 + 50 / n) ** 2
        rates.output = signal + S * rates.steps[0]
        found = report(rates)
        assert by_name(found)[name].passed is passed
        (said,) = [note for note in found.remarks if note.startswith("|f_N - f|")]
        assert said == (
            "|f_N - f|: not one power of N from N = 50 to 400; the exponent is that of a N^p (1 + b/N) with b free"
        )


def test_a_distance_that_is_full_has_no_exponent():
    """Bounded-Lipschitz distances are 2 at most: near that they fall as slowly as they please."""
    rates, name = study(), "bounded Lipschitz of the law: exponent of N"
    rates.lipschitz = 2.0 - 1e-3 * np.arange(4)[:, None, None] * np.ones((1, 64, T))
    found = report(rates)
    assert name not in by_name(found)
    assert "W2 of the law: exponent of N" in by_name(found)
    assert (
        "note: bounded Lipschitz distance of the law: its exponent of N is not judged"
        in found.table()
    )
    assert name in by_name(report(study()))


def test_a_bound_as_wide_as_what_it_is_to_tell_is_open():
    """Where nothing is expected, half of the risk is: a bound of that width passes whatever comes."""
    for unsure, said in ((1e-2, "yes"), (0.6, "open")):
        step = StepEffect(np.zeros((1, 2)), np.full((1, 2), unsure * 1e4 / 5.41))
        found = report(None, predicted={"bias": np.zeros(2)}, step=step)
        found.risk = found.risk - 3.0 / 800
        assert {line.ok for line in found.verdicts} == {said}
    # In many coordinates a law is never near: −1/D + .1 allows what does not fall at all.
    rates = study()
    rates.lipschitz = rates.lipschitz * 0 + 0.5 * WIDTHS[:, None, None] ** -0.02
    found = report(rates)
    found.laws = np.zeros((8, 2, 800, 30))
    assert by_name(found)["bounded Lipschitz of the law: exponent of N"].ok == "open"


def test_a_wrong_limit_moves_c_as_far_as_the_bound_allows():
    """c is fitted beside c₂/N²: gaps that are all off by 10⁻² move it by 2.75, five times N_min 10⁻²."""
    name, off = "c of c/N in mean R_N - R at t = 1", 1e-2
    rates = study()
    rates.predicted = {"bias": np.full(T, C)}
    rates.limit_error = np.full(T, off)
    (before,), low = rates.bias()[0][-1:], by_name(report(rates))[name].bound[0]
    rates = study()
    rates.predicted, rates.limit_error = {"bias": np.full(T, C)}, np.full(T, off)
    rates.limit = rates.limit - off
    moved = abs(rates.bias()[0][-1] - before)
    assert moved > 5 * WIDTHS[0] * off
    assert C - low == pytest.approx(moved + 0.05 * C)
    assert by_name(report(rates))[name].passed
    # Where it is not predicted, what the study tells is open by as much.
    _, unsure = report(rates).coefficient()
    assert unsure[1] == pytest.approx(max(*np.transpose(rates.bias().reach(63))[-1]) + moved)


def test_scatter_of_outputs_is_half_the_squared_distance_in_pairs():
    """f = mean of θ on the nodes ±1: half of E(f_a − f_b)² is (m_a − m_b)²/2."""
    energy = wflow.energies.FeatureEnergy("identity", [-1.0, 1.0], [-3.0, 3.0])
    networks = np.random.default_rng(0).standard_normal((4, 5, 1))
    means = networks.mean(axis=(1, 2))
    expected = 0.5 * (means[0::2] - means[1::2]) ** 2
    np.testing.assert_allclose(output_scatter(energy, networks), expected, rtol=1e-9)
    # Rounding leaves either sign: the mean of an estimate that is never negative would be too large.
    networks = 3.0 + 1e-9 * np.random.default_rng(0).standard_normal((60, 5, 1))
    found = output_scatter(wflow.energies.FeatureEnergy("identity", [1.0], [0.1]), networks)
    assert found.min() < 0 < found.max()
    assert np.isnan(
        output_scatter(
            wflow.energies.FeatureEnergy("tanh", [1.0], [1.0], loss="logistic"), networks
        )
    ).all()


def test_what_the_step_size_adds_is_told_by_other_steps_and_taken_off():
    """Risks of 7ε and 3ε on top, at N = 50 and 400: 3 + (7 − 3)(1/N − 1/400)/(1/50 − 1/400) times ε between."""
    rates = study()
    extra = np.array([7.0, 3.0])[:, None, None, None] * rates.steps[:, None, None]
    rates.noise_risk = rates.noise_risk + extra
    share = (1 / WIDTHS - 1 / 400) / (1 / 50 - 1 / 400)
    expected = (3.0 + 4.0 * share) * rates.steps[0]
    np.testing.assert_allclose(rates.shift(), np.stack([expected, expected], axis=1), atol=2e-6)
    before = study().gap()[0]
    np.testing.assert_allclose(rates.gap()[0], before - expected[:, None], atol=1e-5)


def test_the_last_width_may_have_fewer_pairs_of_one_start():
    """Those it has count, and no others: as if the first had no more."""
    rates, few = study(), study()
    few.noise_risk, few.noise_output = few.noise_risk[:, :, :10], few.noise_output[:, :, :5]
    rates.noise_risk[1, :, 10:], rates.noise_output[1, :, 5:] = np.nan, np.nan
    for of in ("risk", "output"):
        np.testing.assert_array_equal(rates.noise(of)[1], few.noise(of)[1])
        np.testing.assert_array_equal(rates.noise(of)[0], study().noise(of)[0])
    found = report(rates)
    assert found.passed, [v for v in found.verdicts if not v.passed]
    assert np.isfinite([v.band for v in found.verdicts]).all()
    assert rates.over_samples().shape == (T, 10)
    # Many of the narrowest networks tell a power of ε: half as many where shorter steps take long.
    system = wflow.systems.get("bump")
    for steps, seeds, pairs in (
        ((1.0, 2.0, 4.0), 32, (48, 6)),
        ((1.0, 0.5, 0.25), 32, (24, 6)),
        ((1.0, 2.0, 4.0), 4, (6, 5)),
    ):
        plan = Plan(system, (4, 8, 16, 32), seeds, (1.0,), steps, 1)
        assert plan.noise_pairs == pairs
        assert len(plan.jobs()) == 4 * seeds + 3 * 2 * sum(pairs)


def test_a_correlation_is_judged_where_the_fit_tells_it():
    """Cov = k/N + k₂/N² + k₃/N³ passes, what is left of it fails, and what is not seen is a note."""
    name, n = "correlation of two neurons: left as N grows", WIDTHS[:, None, None]
    x, noise = WIDTHS[0] / n, S * study().steps[0]
    for left, scatter, said in ((0.0, 1e-3, "yes"), (0.05, 1e-3, "NO"), (0.0, 30.0, "told")):
        rates = study(seeds=32)
        correlation = left - 0.01 * x + 0.005 * x**2 - 0.003 * x**3
        each = np.random.default_rng(0).standard_normal((4, 32, 1)) * np.ones((1, 1, T))
        each -= each.mean(axis=1, keepdims=True)
        rates.output = V / n * (1 + (n - 1) * correlation) * (1 + scatter * each) + noise
        rates.noise_output = rates.noise_output[..., :1] * np.ones(T)
        found = report(rates)
        if said == "told":
            assert name not in by_name(found)
            (note,) = [one for one in found.remarks if one.startswith(name)]
            assert (
                "by chance, is not judged, as k/N of the narrowest networks is about 0.02" in note
            )
        else:
            assert by_name(found)[name].ok == said


def test_longer_steps_show_a_next_order_and_no_other_power():
    """√(ε/(1 + ε/16)) at ε = 1, 2, 4: a slope of .43, and a half."""
    name = "SGD noise in f: exponent of the step size"
    rates = study()
    rates.steps = 1e-6 * np.array([1.0, 2.0, 4.0])
    chance = np.random.default_rng(0).chisquare(30, (2, 3, 48, T)) / 30
    for power, passed in ((1.0, True), (0.5, False)):
        square = np.array([1.0, 2.0, 4.0]) ** power / (1 + np.array([1.0, 2.0, 4.0]) / 16)
        rates.noise_output = 1e-7 * square[:, None, None] * chance
        rates.noise_risk = rates.limit + np.zeros((2, 3, 96, T))
        line = by_name(report(rates))[name]
        assert line.passed is passed
        assert line.decides


def test_where_a_study_ends_and_looks():
    times = np.array([0.0, 0.1, 0.3, 1.0, 2.0, 10.0])
    assert default_horizon(times) == 1.0
    assert times_up_to(1.0, times) == (0.1, 0.3, 1.0)
    assert times_up_to(0.5, times) == (0.1, 0.3, 0.5)
    assert len(times_up_to(10.0, np.linspace(0, 10, 101))) == 4


ARGUMENTS = ["validate", "isotropic-gaussians", "-p", "d=4", "--neurons", "16", "--seeds", "2"]
ARGUMENTS += ["--step-sizes", "1e-2", "--t-end", "0.2", "--widths", "4,8,16,32"]
ARGUMENTS += ["--rate-seeds", "4", "--horizon", "0.1", "-o", "v.h5"]


@pytest.mark.slow
def test_the_command_prints_json_and_ends_by_its_verdicts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status = main([*ARGUMENTS, "--json"])
    out, _ = capsys.readouterr()
    said = json.loads(out)
    assert status == (0 if said["passed"] else 1)
    said_of_each = {"name", "value", "band", "bound", "passed", "decides"}
    assert all(set(line) == said_of_each for line in said["verdicts"])
    assert said["neurons"] == [16]
    assert said["rates"]["widths"] == [4, 8, 16, 32]
    assert len(said["rates"]["gap"]) == 4
    # The same from the file, and the same picture and table.
    kept = load_report("v.h5")
    assert json.loads(json.dumps(kept.as_json())) == said
    assert main(["plot", "v.h5", "-o", "again.png"]) == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "v.png").read_bytes()
    capsys.readouterr()
    assert main(["info", "v.h5"]) == 0
    assert capsys.readouterr().out.endswith(kept.table() + "\n")


def test_a_verdict_that_fails_ends_the_command_with_1(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "wflow.validation.report.judge", lambda found: (verdict("a line", 1.0, 0.1, 2.0, 3.0),)
    )
    assert main([*ARGUMENTS, "--no-rates"]) == 2
    assert "--no-rates with --widths" in capsys.readouterr().err
    small = [
        "-p",
        "d=4",
        "--neurons",
        "4",
        "--seeds",
        "2",
        "--step-sizes",
        "1e-2",
        "--t-end",
        "0.1",
    ]
    without = ["--no-rates", "-o", "v.h5", "--quiet"]
    assert main(["validate", "isotropic-gaussians", *small, *without]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "wflow: 1 of 1 verdicts fail: a line\n"
    assert (tmp_path / "v.h5").exists()
    assert (tmp_path / "v.png").exists()


def test_an_older_file_loads_and_draws(tmp_path):
    """Of limits it holds the risk and the density alone, and no study."""
    path = tmp_path / "old.h5"
    small = {"neurons": [4], "seeds": 2, "step_sizes": [1e-2], "t_end": 0.1, "rates": False}
    small |= {"n_grid": 32, "n_particles": 20}
    now = wflow.validate(wflow.systems.get("isotropic-gaussians", d=4), **small, output=path)
    import h5py

    with h5py.File(path, "r+") as file:
        for name in list(file):
            new = name in ("positions", "weights", "output", "particles_step", "grid_step")
            if new or name.endswith(("_steps", "_edge", "_edges")):
                del file[name]
        for name in ("limits", "notes", "verdicts"):
            del file.attrs[name]
    then = load_report(path)
    np.testing.assert_array_equal(then.risk, now.risk)
    np.testing.assert_array_equal(then.limit_risk, now.limit_risk)
    density = [m.density for m in now.limits["grid"].measures]
    np.testing.assert_allclose([m.density for m in then.limits["grid"].measures], density)
    then.plot(tmp_path / "old.png")
    assert then.table().splitlines()[1] == now.table().splitlines()[1]
    with h5py.File(path, "r+") as file:
        del file["risk"]
    with pytest.raises(StorageError, match="no whole report"):
        load_report(path)
    wflow.solve(
        wflow.systems.get("isotropic-gaussians", d=4).flow(),
        wflow.systems.get("isotropic-gaussians", d=4).initial("grid", 16),
        (0, 0.01),
        output=tmp_path / "run.h5",
    )
    with pytest.raises(StorageError, match="it is not limit against SGD"):
        load_report(tmp_path / "run.h5")


def test_what_samples_do_to_one_start_is_predicted_or_a_note_says_why(monkeypatch):
    def plan(name, **flow):
        system = wflow.systems.get(name)
        return Plan(system, (4, 8, 16, 32), 4, (0.01,), (1e-2, 5e-3, 2.5e-3), 1, flow)

    found, notes = of_samples(plan("gaussian-mixture"))
    assert found["sample_output_variance"].shape == (1,)
    assert notes == ()
    said = "the scatter over samples of networks of one start is not predicted: "
    for asked, why in (
        (plan("isotropic-gaussians"), "their flow is not one of whole neurons"),
        (plan("gaussian-mixture", temperature=0.1), "temperature = 0.1"),
    ):
        found, (note,) = of_samples(asked)
        assert not found
        assert note.startswith(said + why)
    monkeypatch.setattr("wflow.validation.study.SLOPES", 0)
    _, (note,) = of_samples(plan("gaussian-mixture"))
    assert note.endswith("parameters take too long here; call wflow.validation.sgd_noise")
