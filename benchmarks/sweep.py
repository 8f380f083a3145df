"""How much of two cores does a sweep use?

The same runs one after another in one thread of this process, and then as a sweep on two workers; kernels are compiled
and cached before either. What starting the workers takes is stated apart: it is paid once a sweep, however long.
Efficiency is the serial time over twice the time from the first call to the last. Beside other work on the same cores
that says little; then the seconds of computing tell what the sweep costs above its runs, of all its processes together.

    python benchmarks/sweep.py
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import psutil

import wflow
from wflow.sweeps.folder import Folder
from wflow.sweeps.plan import read_plan
from wflow.sweeps.work import carry_out
from wflow.tools.workers import cores, executor, in_one_thread

PLAN = {
    "system": "isotropic-gaussians",
    "run": "network",
    "n_neurons": 200,
    "step_size": 1e-4,
    "t_end": 1.0,
    "t_eval": [0, 0.5, 1.0],
}


def computed(family: list[psutil.Process]) -> float:
    """Seconds that these processes have computed."""
    return sum(sum(process.cpu_times()[:2]) for process in family)


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40, help="networks, 3 or more (40)")
    runs = parser.parse_args().runs
    plan = read_plan(PLAN | {"seeds": runs})
    own = psutil.Process()
    with tempfile.TemporaryDirectory() as place:
        wflow.sweep(PLAN | {"seeds": 1}, Path(place) / "warm", workers=1)
        folders = [str(Path(place) / name) for name in ("serial", "sweep")]
        for folder in folders:
            with Folder(folder).held(plan):
                pass
        began, used = time.perf_counter(), time.process_time()
        for job in plan.jobs:
            in_one_thread(carry_out, job.about, folders[0])
        serial, used = time.perf_counter() - began, time.process_time() - used
        began = time.perf_counter()
        with executor(2) as pool:
            # Both have read wflow and its kernels before the clock starts.
            warm = [pool.submit(carry_out, job.about, folders[1]) for job in plan.jobs[:2]]
            assert not any(call.result() for call in warm)
            started = time.perf_counter() - began
            family = [own, *own.children(recursive=True)]
            before = computed(family)
            began = time.perf_counter()
            calls = [pool.submit(carry_out, job.about, folders[1]) for job in plan.jobs[2:]]
            assert not any(call.result() for call in calls)
            parallel, spent = time.perf_counter() - began, computed(family) - before
    share = (runs - 2) / runs
    print(f"{runs} networks, N = 200, 10^4 steps; {cores()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"serial          {serial:7.2f} s, {used:.2f} s of computing, {used / runs:.3f} s a run")
    print(f"two workers     {parallel:7.2f} s, {spent:.2f} s of computing, for {runs - 2} of them")
    print(f"starting them   {started:7.2f} s, with a run each")
    print(f"efficiency      {share * serial / (2 * parallel):7.2f} (aim 0.85)")
    print(f"computing       {share * used / spent:7.2f} of the sweep's is in its runs")


if __name__ == "__main__":
    main()
