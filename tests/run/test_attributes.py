"""What a user adds to a run's header stands beside the run's own entries, and never in their place."""

import numpy as np
import pytest
from flows import well

import wflow
from wflow import GradientFlow, InputError, Particles

FLOW = GradientFlow(well(1), temperature=0.1)
CLOUD = Particles([0.5, 1.0])
RESERVED = [
    "seed",
    "rtol",
    "atol",
    "method",
    "method_options",
    "method_reason",
    "first_step",
    "max_step",
    "fingerprint",
    "run",
    "evaluator",
    "temperature",
    "ridge",
    "reaction_rate",
    "events",
    "t_eval",
    "t_span",
    "t_eval_asked",
    "measure",
    "wflow_version",
    "versions",
    "started",
    "status",
    "message",
    "stats",
    "layout",
    "format",
    "format_version",
    "json_attributes",
    "checksum",
    "system",
    "parameters",
    "decay",
    "n_neurons",
    "replayed",
]


def run(end=0.02, **options):
    return wflow.solve(
        FLOW, CLOUD, (0, end), method="langevin", method_options={"step_size": 0.01}, **options
    )


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize("to_file", [False, True])
def test_names_of_the_runs_own(name, to_file, tmp_path):
    path = tmp_path / "run.h5" if to_file else None
    if name == "checksum":
        from wflow.storage import checksums

        name = checksums.DESCRIPTION
    with pytest.raises(InputError, match=f"attributes: '{name}' is what the run says") as refusal:
        run(attributes={"note": "mine", name: 7}, output=path)
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [3, "note", [("a", 1)], {3: 1}, {"": 1}])
def test_no_names_at_all(given):
    with pytest.raises(InputError, match="attributes"):
        run(attributes=given)


def test_the_users_own_are_kept_and_the_noise_is_the_seeds(tmp_path):
    mine = {"my_seed": 7, "note": "of the user", "table": [1, 2]}
    stopped = run(seed=3, attributes=mine, output=tmp_path / "run.h5")
    assert {k: stopped.attributes[k] for k in mine} == mine
    assert stopped.attributes["seed"] == 3
    resumed = wflow.resume(tmp_path / "run.h5", flow=FLOW, t_end=0.05)
    whole = run(0.05, seed=3)
    np.testing.assert_array_equal(resumed.measures[-1].points(), whole.measures[-1].points())
