"""What each command of ``wflow`` does; the options are read in :mod:`wflow.cli.main`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wflow.cli import options
from wflow.errors import ComputationError, InputError


def list_systems(arguments: Any) -> int:
    """``wflow list``."""
    from wflow.systems import catalogue

    known = catalogue()
    width = max(len(n) for n in known)
    for name, system in known.items():
        print(f"{name:{width}}  {system.title}  [{system.source}]")
    return 0


def show_system(arguments: Any) -> int:
    """``wflow show SYSTEM``."""
    system = _catalogued(arguments.system)
    print(f"{system.name}: {system.title}\nsource: {system.source}\n")
    rows = [("name", "default", "published", "allowed", "meaning")]
    for p in _schema(system):
        default = "" if p.default is None else str(p.default)
        allowed = p.allowed()
        if p.name == "measure":
            default = system.measures[0]
            allowed = " or ".join(f'"{m}"' for m in system.measures)
        rows.append((p.name, default, p.published, allowed, p.meaning))
    widths = [max(len(row[k]) for row in rows) + 2 for k in range(4)]
    for row in rows:
        print("".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=False)) + row[4])
    if system.sgd:
        inside = ", ".join(f"{k} = {v:g}" for k, v in system.sgd.items())
        print(f"\nSGD by default: {inside}")
    return 0


def run_system(arguments: Any) -> int:
    """``wflow run SYSTEM``."""
    from wflow.run.resume import resume
    from wflow.run.solve import solve
    from wflow.systems.catalogue import FLOW_PARAMETERS

    cls = _catalogued(arguments.system)
    options.read_config(arguments)
    output = output_file(arguments)
    picture = options.picture_beside(output)
    say = (lambda *words: None) if arguments.quiet else print
    times = None if arguments.t_eval is None else options.numbers(arguments.t_eval)
    if arguments.resume:
        _check_resume(arguments, output)
        solution = resume(output, t_end=arguments.t_end, t_eval=times, progress=not arguments.quiet)
    else:
        options.free_places([output, picture], arguments.overwrite)
        method = arguments.method or "auto"
        given = options.pairs(arguments.parameters)
        own, flow_values, start = _sort_parameters(cls, given)
        system = cls(**own)
        flow = system.flow(**{p.name: flow_values[p.name] for p in FLOW_PARAMETERS})
        end = system.t_end if arguments.t_end is None else arguments.t_end
        kind = start["measure"] if "measure" in given else _measure_for(system, method)
        solution = solve(
            flow,
            system.initial(kind, start["n"] or None),
            (0.0, end),
            method=method,
            method_options=options.method_options(arguments.method_options, method),
            t_eval=system.saved_times(end) if times is None else times,
            rtol=1e-6 if arguments.rtol is None else arguments.rtol,
            seed=arguments.seed or 0,
            output=output,
            overwrite=arguments.overwrite,
            progress=not arguments.quiet,
        )
    solution.plot(str(picture))
    say(solution.summary())
    say(f"written: {output}, {picture}")
    if not solution.success:
        at = f"{solution.t[-1]:g}" if solution.t.size else "none"
        raise ComputationError(f"{solution.message}; last good frame t = {at} in {output}")
    return 0


def validate_system(arguments: Any) -> int:
    """``wflow validate SYSTEM``."""
    from wflow.validation import validate

    cls = _catalogued(arguments.system)
    output = output_file(arguments, "-validation")
    picture = options.picture_beside(output)
    options.free_places([output, picture], arguments.overwrite)
    own, flow_values, _ = _sort_parameters(cls, options.pairs(arguments.parameters))
    if flow_values["reaction_rate"]:
        raise InputError("reaction_rate: plain SGD has no birth-death; leave it 0 to validate")
    report = validate(
        cls(**own),
        neurons=options.integers(arguments.neurons) if arguments.neurons else None,
        step_sizes=options.numbers(arguments.step_sizes) if arguments.step_sizes else None,
        seeds=arguments.seeds,
        t_end=arguments.t_end,
        temperature=flow_values["temperature"],
        ridge=flow_values["ridge"],
        decay=flow_values["decay"],
        output=output,
        overwrite=arguments.overwrite,
        progress=not arguments.quiet,
    )
    report.plot(picture)
    if not arguments.quiet:
        print(report.table())
        print(f"written: {output}, {picture}")
    return 0


def reproduce_figures(arguments: Any) -> int:
    """``wflow reproduce [FIGURE|all]``."""
    import time

    from wflow.figures import figures, get_figure, reproduce
    from wflow.figures.catalogue import places

    known = figures()
    if arguments.figure is None:
        width = max(map(len, known))
        for name, figure in known.items():
            print(f"{name:{width}}  {figure.title}  [{figure.source}]")
        return 0
    names = list(known) if arguments.figure == "all" else [get_figure(arguments.figure).name]
    for name in names:  # before an hour is spent on the first
        places(name, arguments.output, arguments.overwrite)
    size = "reduced" if arguments.reduced else "published"
    for name in names:
        began = time.perf_counter()
        if not arguments.quiet:
            print(f"{name}: {known[name].title}, {size} size …", flush=True)
        results = reproduce(name, arguments.output, size=size, overwrite=arguments.overwrite)
        if not arguments.quiet:
            print("\n".join(f"  {line}" for line in results.findings))
            where = Path(arguments.output) / name
            print(f"written: {where}.png, {where}.h5  ({time.perf_counter() - began:.0f} s)")
    return 0


def info(arguments: Any) -> int:
    """``wflow info FILE``."""
    from wflow.results.load import load

    solution = load(arguments.file)
    print(solution.summary())
    for key, value in sorted(solution.attributes.items()):
        print(f"{key:>16}: {value}")
    return 0


def plot(arguments: Any) -> int:
    """``wflow plot FILE``."""
    from wflow.results.load import load

    solution = load(arguments.file)
    if arguments.output:
        picture = Path(arguments.output)
        options.free_places([picture], arguments.overwrite)
    else:
        picture = options.free_name(options.picture_beside(Path(arguments.file)))
    solution.plot(str(picture))
    print(f"written: {picture}")
    return 0


def _catalogued(name: str) -> Any:
    from wflow.systems import catalogue

    return catalogue()[name]


def _schema(system: Any) -> list[Any]:
    from wflow.systems.catalogue import FLOW_PARAMETERS, START_PARAMETERS

    return [*system.parameters, *FLOW_PARAMETERS, *START_PARAMETERS]


def _sort_parameters(cls: Any, given: dict[str, str]) -> tuple[dict[str, Any], ...]:
    """Values for the system, the flow and the start from one list."""
    from wflow.systems.catalogue import FLOW_PARAMETERS, START_PARAMETERS
    from wflow.tools.parameters import read_parameters

    values = read_parameters(f"system '{cls.name}'", _schema(cls), given)
    own = {p.name: values[p.name] for p in cls.parameters if p.name in given}
    flow = {p.name: values[p.name] for p in FLOW_PARAMETERS}
    return own, flow, {p.name: values[p.name] for p in START_PARAMETERS}


def _measure_for(system: Any, method: str) -> str:
    """The measure a method acts on; the system's first where the method leaves it open."""
    if method != "auto":
        from wflow.solvers import get_method

        wanted = get_method(method).acts_on
        if wanted == "network":
            raise InputError(f"method '{method}' trains networks: use 'wflow validate'")
        return wanted
    return str(system.measures[0])


def _check_resume(arguments: Any, output: Path) -> None:
    """Refuse what a resumed run would have to ignore."""
    if not output.exists():
        raise InputError(f"--resume: there is no {output}; run without --resume first")
    if arguments.overwrite:
        raise InputError("--resume with --overwrite: one goes on, the other begins anew; choose")
    held = {"-p": arguments.parameters, "--method": arguments.method}
    held |= {"--option": arguments.method_options}
    held |= {"--rtol": arguments.rtol, "--seed": arguments.seed}
    for option, value in held.items():
        if value not in (None, []):
            raise InputError(f"--resume with {option}: the file holds it; leave {option} out")
    if arguments.t_eval is not None and arguments.t_end is None:
        raise InputError("--resume with --t-eval: only a longer run saves more; add --t-end")
    from wflow.storage import read_run

    name = read_run(output).attributes.get("system")
    if name != arguments.system:
        raise InputError(
            f"--resume: {output} is a run of {name or 'a user flow'}, not of {arguments.system}"
        )


def output_file(arguments: Any, ending: str = "") -> Path:
    """The HDF5 file a command writes."""
    if arguments.output is None:
        return Path(f"{arguments.system}{ending}.h5")
    if not arguments.output or not Path(arguments.output).name:
        raise InputError(f"-o '{arguments.output}': give a file name, run.h5 say")
    return Path(arguments.output)
