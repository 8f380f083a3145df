"""Every command as a user types it: what it writes, what it says, and its exit status."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from forks import Fork

import wflow
from wflow.cli.main import main

SMALL = ["isotropic-gaussians", "-p", "n=24", "--t-end", "0.2"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file that `wflow run` has written, for those that only read or refuse it."""
    path = tmp_path_factory.mktemp("finished") / "a.h5"
    assert main(["run", *SMALL, "--quiet", "-o", str(path)]) == 0
    return path.read_bytes()


Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail; return the one line it says on stderr."""

    def run(*argv: str, status: int = 2) -> str:
        before = {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()}
        capsys.readouterr()
        try:
            got = main(list(argv))
        except SystemExit as e:  # argparse leaves this way
            got = int(e.code or 0)
        said = capsys.readouterr()
        assert (got, said.out) == (status, "")
        assert said.err.endswith("\n")
        assert said.err.count("\n") == 1, said.err
        assert said.err.startswith("wflow")
        assert "Traceback" not in said.err
        assert {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()} == before
        return said.err.strip()

    return run


def test_list_names_every_system_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(wflow.systems.catalogue())
    assert all(re.search(r"\[.+\]$", line) for line in lines)


def test_show_has_every_parameter(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "isotropic-gaussians"]) == 0
    shown = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}
    system = wflow.systems.catalogue()["isotropic-gaussians"]
    assert {p.name for p in system.parameters} <= shown
    assert {"temperature", "ridge", "reaction_rate", "measure", "n"} <= shown


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"wflow {wflow.__version__}\n"
    assert main([]) == 0
    assert "COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options, method",
    [
        ([], "muscl"),
        (["-p", "measure=particles"], "runge-kutta"),
        (["-p", "temperature=0.05"], "scharfetter-gummel"),
        (["-p", "temperature=0.05", "--method", "backward-euler"], "backward-euler"),
        (["-p", "temperature=0.05", "-p", "measure=particles"], "langevin"),
        (["-p", "temperature=0.05", "--method", "langevin"], "langevin"),
        (["-p", "reaction_rate=1"], "strang"),
        (["-p", "reaction_rate=1", "-p", "measure=particles"], "runge-kutta"),
    ],
)
def test_run_writes_file_picture_and_summary(
    options: list[str], method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *SMALL, *options]) == 0
    said = capsys.readouterr()
    assert said.err == ""  # no progress bar when piped
    assert "risk" in said.out
    assert "written: isotropic-gaussians.h5, isotropic-gaussians.png" in said.out
    sol = wflow.load("isotropic-gaussians.h5")
    assert sol.success
    assert sol.attributes["method"] == method
    assert Path("isotropic-gaussians.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in Path().iterdir()) == [
        "isotropic-gaussians.h5",
        "isotropic-gaussians.png",
    ]


def test_run_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *SMALL, "--quiet", "-o", "a.h5"]) == 0
    assert capsys.readouterr() == ("", "")


def test_run_t_eval(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *SMALL, "--t-eval", "0,0.05,0.2", "-o", "a.h5"]) == 0
    assert wflow.load("a.h5").t.tolist() == [0.0, 0.05, 0.2]


def test_run_overwrites_only_when_asked(refused: Refused) -> None:
    assert main(["run", *SMALL, "--quiet", "-o", "a.h5"]) == 0
    line = refused("run", *SMALL, "--quiet", "-o", "a.h5")
    assert "a.h5 exists" in line
    assert "--overwrite" in line
    assert main(["run", *SMALL, "--quiet", "-o", "a.h5", "--overwrite", "--t-eval", "0.1"]) == 0
    assert wflow.load("a.h5").t.tolist() == [0.1]
    Path("b.png").write_text("mine")
    assert "b.png exists" in refused("run", *SMALL, "--quiet", "-o", "b.h5")


def test_config_file_and_command_line_wins(refused: Refused) -> None:
    Path("run.toml").write_text(
        't_end = 0.2\nt_eval = [0, 0.1]\nseed = 7\noutput = "c.h5"\nquiet = true\n'
        "[parameters]\nn = 24\ndelta = 0.5\nd = inf\n"
    )
    name = "isotropic-gaussians"
    assert main(["run", name, "--config", "run.toml", "-p", "d=30"]) == 0
    sol = wflow.load("c.h5")
    assert sol.t.tolist() == [0.0, 0.1]
    assert sol.attributes["seed"] == 7
    assert sol.attributes["parameters"]["delta"] == 0.5
    assert sol.attributes["parameters"]["d"] == 30
    # The command line wins even where it gives a default.
    assert main(["run", name, "--config", "run.toml", "--seed", "0", "-o", "d.h5"]) == 0
    assert wflow.load("d.h5").attributes["seed"] == 0
    assert "c.h5 exists" in refused("run", name, "--config", "run.toml")


@pytest.mark.parametrize(
    "text, named",
    [
        ("t_end = ", "not TOML"),
        ("tend = 3", "did you mean 't_end'"),
        ("t_end = '3'", "t_end = '3': give a number"),
        ("t_end = true", "t_end = True: give a number"),
        ("output = 3", "output = 3: give a file name"),
        ("seed = 1.5", "seed = 1.5: give a whole number"),
        ("t_eval = ['a']", "numbers separated by commas"),
        ("t_eval = []", "numbers separated by commas"),
        ("quiet = 1", "quiet = 1: give true or false"),
        ("parameters = 3", "[parameters]"),
        ("[parameters]\nnope = 3", "'nope'"),
        ("[parameters]\nn = true", "n = 'True'"),
        ("[parameters]\nn = [1]", "n = '[1]'"),
    ],
)
def test_wrong_config(text: str, named: str, refused: Refused) -> None:
    Path("run.toml").write_text(text)
    assert named in refused("run", "isotropic-gaussians", "--config", "run.toml")


@pytest.mark.parametrize(
    "line, said",
    [
        (["run", "bump", "--t-eval", "0,one"], "t_eval = '0,one': give numbers"),
        (["validate", "bump", "--neurons", "10,ten"], "neurons = '10,ten': give whole numbers"),
        (["validate", "bump", "--widths", "1e3"], "widths = '1e3': give whole numbers"),
        (["validate", "bump", "--step-sizes", "1,"], "step_sizes = '1,': give numbers"),
        (["run", "bump", "--method", "langevin", "--option", "seed"], "--option seed: write NAME"),
        (
            ["run", "bump", "--method", "langevin", "--option", "a=1", "--option", "a=2"],
            "--option a is given twice",
        ),
    ],
)
def test_the_option_that_is_wrong_is_named(line: list[str], said: str, refused: Refused) -> None:
    assert said in refused(*line)


def test_config_missing_or_binary(refused: Refused) -> None:
    assert "nope.toml" in refused("run", "isotropic-gaussians", "--config", "nope.toml")
    Path("b.toml").write_bytes(b"\xff\xfe\x00")
    assert "b.toml is not TOML" in refused("run", "isotropic-gaussians", "--config", "b.toml")


def test_resume_extends_a_run() -> None:
    assert main(["run", *SMALL, "--quiet", "--t-eval", "0,0.2", "-o", "a.h5"]) == 0
    again = ["run", "isotropic-gaussians", "--resume", "--quiet", "-o", "a.h5"]
    assert main(again) == 0  # already done
    assert main([*again, "--t-end", "0.4", "--t-eval", "0.3,0.4"]) == 0
    assert wflow.load("a.h5").t.tolist() == [0.0, 0.2, 0.3, 0.4]
    longer = ["isotropic-gaussians", "-p", "n=24", "--t-end", "0.4", "--t-eval", "0,0.2,0.3,0.4"]
    assert main(["run", *longer, "--quiet", "-o", "b.h5"]) == 0
    assert np.array_equal(wflow.load("a.h5").risk, wflow.load("b.h5").risk)


@pytest.mark.parametrize(
    "options, named",
    [
        (["-p", "n=3"], "-p"),
        (["-p", "d=39"], "-p d=39"),
        (["-p", "delta=0.7"], "delta = 0.8"),
        (["-p", "temperature=0.1"], "-p temperature"),
        (["-p", "measure=particles"], "-p measure"),
        (["--method", "upwind"], "--method"),
        (["--method", "muscl", "--option", "cfl=0.1"], "--option cfl"),
        (["--option", "cfl=0.1"], "--option"),
        (["--rtol", "1e-3"], "--rtol"),
        (["--atol", "1e-6"], "--atol"),
        (["--seed", "1"], "--seed"),
        (["--requeue"], "--requeue"),
        (["--dry-run"], "--dry-run"),
        (["--overwrite"], "--overwrite"),
        (["--t-end", "0.1"], "t_end = 0.1"),
        (["--t-end", "nan"], "t_end = nan"),
        (["--t-eval", "0.1"], "--t-end"),
        (["--t-end", "0.5", "--t-eval", "0.1"], "t_eval"),
        (["-o", "nope.h5"], "nope.h5"),
    ],
)
def test_resume_refuses_what_it_would_ignore(
    options: list[str], named: str, refused: Refused, finished: bytes
) -> None:
    Path("a.h5").write_bytes(finished)
    assert named in refused("run", "isotropic-gaussians", "--resume", "-o", "a.h5", *options)


def test_resume_takes_the_same_command_line_again() -> None:
    # What a cluster's queue does: it runs the line that it was given, with one word more.
    line = ["run", *SMALL, "--quiet", "-o", "a.h5", "-p", "d=40", "-p", "temperature=0.2"]
    line += ["--method", "scharfetter-gummel", "--rtol", "1e-3"]
    line += ["--t-eval", "0,0.1,0.2", "--seed", "0", "--atol", "1e-8"]
    assert main(line) == 0
    whole = wflow.load("a.h5")
    assert whole.attributes["atol"] == 1e-8
    assert main([*line, "--resume"]) == 0
    longer = [*line[: line.index("--t-end")], "--t-end", "0.4", *line[line.index("--t-end") + 2 :]]
    longer[longer.index("0,0.1,0.2")] = "0,0.1,0.2,0.4"
    assert main([*longer, "--resume"]) == 0
    assert main([*longer, "--resume"]) == 0
    ended = wflow.load("a.h5")
    assert ended.t.tolist() == [0.0, 0.1, 0.2, 0.4]
    assert ended.risk[:3].tolist() == whole.risk.tolist()


def test_resume_knows_the_times_that_were_asked_for_by_a_clock_of_its_own() -> None:
    line = ["run", "isotropic-gaussians", "-p", "n=20", "-p", "measure=particles", "--quiet"]
    line += ["-p", "temperature=0.1", "-o", "a.h5", "--method", "langevin"]
    line += ["--option", "step_size=0.01", "--t-end", "0.1", "--t-eval", "0,0.033,0.1"]
    assert main(line) == 0
    assert wflow.load("a.h5").t.tolist() == pytest.approx([0.0, 0.03, 0.1])
    assert main([*line, "--resume"]) == 0
    longer = " ".join(line).replace("--t-end 0.1", "--t-end 0.2").replace("33,0.1", "33,0.1,0.155")
    assert main([*longer.split(), "--resume"]) == 0
    assert main([*longer.split(), "--resume"]) == 0
    assert wflow.load("a.h5").t.tolist() == pytest.approx([0.0, 0.03, 0.1, 0.16], abs=1e-9)


def test_resume_of_another_system(refused: Refused) -> None:
    assert main(["run", *SMALL, "--quiet", "-o", "a.h5"]) == 0
    line = refused("run", "predicted-failure", "--resume", "-o", "a.h5")
    assert "isotropic-gaussians" in line
    assert "predicted-failure" in line


def test_validate_at_tiny_size(refused: Refused, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = ["validate", "isotropic-gaussians", "-p", "d=5", "--neurons", "4,8", "--seeds", "2"]
    tiny += ["--step-sizes", "1e-2", "--t-end", "0.1", "-o", "v.h5", "--no-rates"]
    assert main(tiny) == 0
    said = capsys.readouterr()
    stages = ["wflow: the limit of isotropic-gaussians", "wflow: 4 networks, the published run"]
    assert said.err.splitlines() == stages
    assert "R SGD N=8" in said.out
    assert "written: v.h5, v.png" in said.out
    assert Path("v.png").read_bytes().startswith(b"\x89PNG")
    table = said.out[: said.out.index("written:")]
    assert main(["info", "v.h5"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("limit against SGD")
    assert "risk: neurons 2 x step_size 1 x seed 2 x t 2 [loss] risk of the SGD networks" in told
    assert told.endswith(table)
    assert "v.h5 exists" in refused(*tiny)
    # A report is drawn again from its file.
    assert main(["plot", "v.h5"]) == 0
    assert capsys.readouterr().out == "written: v-1.png\n"
    assert Path("v-1.png").read_bytes() == Path("v.png").read_bytes()
    assert "is a report, not a run: leave it out" in refused("plot", "v.h5", "--movie", "v.gif")
    assert main([*tiny, "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_info_and_plot(refused: Refused, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *SMALL, "--quiet", "-o", "a.h5"]) == 0
    assert main(["info", "a.h5"]) == 0
    said = capsys.readouterr().out
    for word in ("isotropic-gaussians", "muscl", "wflow_version", "parameters", "seed"):
        assert word in said
    assert main(["plot", "a.h5", "-o", "fig.svg"]) == 0
    assert capsys.readouterr().out == "written: fig.svg\n"
    assert "<svg" in Path("fig.svg").read_text()
    assert "fig.svg exists" in refused("plot", "a.h5", "-o", "fig.svg")
    assert main(["plot", "a.h5", "-o", "fig.svg", "--overwrite"]) == 0
    assert "unknown picture format 'foo'" in refused("plot", "a.h5", "-o", "fig.foo")
    assert "folder nope" in refused("plot", "a.h5", "-o", "nope/fig.png")
    assert "no file b.h5" in refused("plot", "b.h5")
    # `run` has drawn a.png already: a picture of one's own is never replaced unasked.
    before = Path("a.png").read_bytes()
    assert main(["plot", "a.h5"]) == 0
    assert Path("a-1.png").exists()
    assert Path("a.png").read_bytes() == before


def test_failed_computation_is_status_1(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    from wflow.systems.isotropic_gaussians import IsotropicGaussians

    monkeypatch.setattr(IsotropicGaussians, "clock", 1e300)
    status = main(["run", *SMALL, "--quiet", "-o", "a.h5", "--t-eval", "0,0.2"])
    assert status == 1
    sol = wflow.load("a.h5")  # all that was good is kept
    assert not sol.success
    assert sol.t.tolist() == [0.0]


def test_out_of_memory_is_status_1(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "wflow.tools.memory.free_memory", lambda: None
    )  # a system that does not tell
    line = refused("run", "isotropic-gaussians", "-p", "n=1e15", status=1)
    assert "not enough memory" in line


def test_broken_pipe_is_silent() -> None:
    # The reader is gone before the first line: closed at once, as `wflow list | true` does.
    with subprocess.Popen(
        [sys.executable, "-m", "wflow", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_interrupted_run_leaves_a_file_to_resume(
    number: int, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["run", "isotropic-gaussians", "--quiet", "-p", "n=6000"]
    line += ["--t-end", "4", "--t-eval", "0,0.001,4", "-o", "a.h5"]
    process = Fork(lambda: sys.exit(main(line)))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:  # until the first frame inside the run is written
        try:
            if wflow.load("a.h5").t.size == 2:
                break
        except wflow.StorageError:
            assert process.poll() is None
        time.sleep(0.02)
    capsys.readouterr()
    assert main(["run", "isotropic-gaussians", "--resume", "-o", "a.h5", "--quiet"]) == 2
    second = capsys.readouterr().err
    assert second.count("\n") == 1
    assert "a.h5 is being written by another run: wait for it or stop it first" in second
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status, said
    assert said.count("\n") == 1
    assert "a.h5" in said
    assert "--resume" in said
    stopped = wflow.load("a.h5")
    assert stopped.t.tolist() == [0.0, 0.001]
    # The checkpoint is that of the last step, not of the last frame: nothing is computed twice.
    assert stopped.steps["t"][-1] > 0.001
    assert not Path("a.png").exists()


def test_a_method_takes_words_as_options(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["isotropic-gaussians", "-p", "measure=grid", "-p", "n=40", "-p", "reaction_rate=1"]
    asked += ["--method", "lie", "--t-end", "0.1", "--option", "first=reaction", "--quiet"]
    assert main(["run", *asked, "-o", "a.h5"]) == 0
    assert wflow.load("a.h5").attributes["method_options"]["first"] == "reaction"


def test_info_of_hand_made_reports(refused: Refused) -> None:
    for name, value in (("format", "wflow-report-1"), ("format", 3), ("format", np.zeros((2, 2)))):
        with h5py.File("odd.h5", "w") as file:
            file.attrs[name] = value
            file.attrs["x"] = h5py.Empty("f8")
            file["a"] = h5py.ExternalLink("other.h5", "/b")
        assert "odd.h5" in refused("info", "odd.h5")
