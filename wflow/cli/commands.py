"""What each command of ``wflow`` does; the options are read in :mod:`wflow.cli.main`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from wflow.cli import options
from wflow.errors import ComputationError, DamageError, InputError, printable


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
    from wflow.systems.catalogue import schema

    system = options.catalogued(arguments.system)
    print(f"{system.name}: {system.title}\nsource: {system.source}\n")
    rows = [("name", "default", "published", "allowed", "meaning")]
    for p in schema(system):
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


def validate_system(arguments: Any) -> int:
    """``wflow validate SYSTEM``."""
    from wflow.systems.catalogue import sort_parameters
    from wflow.validation import validate

    cls = options.catalogued(arguments.system)
    output = options.output_file(arguments, "-validation")
    picture = options.picture_beside(output)
    options.free_places([output, picture], arguments.overwrite)
    own, flow_values, _ = sort_parameters(cls, options.pairs(arguments.parameters))
    if rate := flow_values.pop("reaction_rate", 0.0):
        raise InputError(
            f"reaction_rate = {rate:g}: plain SGD has no birth-death; leave it 0 to validate"
        )
    if arguments.study is not None:
        from wflow.cli.studies import study as carried_out

        trend = carried_out(arguments, cls(**own), flow_values)
        trend.save(output, overwrite=arguments.overwrite)
        return _told(trend, arguments, output, picture)
    if arguments.over is not None:
        raise InputError("--over is the axis of a study: give --study NAME too")
    study = (arguments.widths, arguments.horizon, arguments.rate_seeds)
    if arguments.no_rates and study != (None, None, None):
        raise InputError(
            "--no-rates with --widths, --horizon or --rate-seeds: leave one of them out"
        )
    report = validate(
        cls(**own),
        neurons=options.integers("neurons", arguments.neurons) if arguments.neurons else None,
        step_sizes=options.numbers("step_sizes", arguments.step_sizes)
        if arguments.step_sizes
        else None,
        seeds=8 if arguments.seeds is None else arguments.seeds,
        t_end=arguments.t_end,
        **flow_values,
        rates=not arguments.no_rates,
        widths=options.integers("widths", arguments.widths) if arguments.widths else None,
        horizon=arguments.horizon,
        **({} if arguments.rate_seeds is None else {"rate_seeds": arguments.rate_seeds}),
        output=output,
        overwrite=arguments.overwrite,
        scheduler=arguments.scheduler,
        progress=not (arguments.quiet or arguments.json),
    )
    return _told(report, arguments, output, picture)


def _told(report: Any, arguments: Any, output: Path, picture: Path) -> int:
    """Draw and print what was found; refused when a verdict fails."""
    report.plot(picture)
    if arguments.json:
        print(json.dumps(report.as_json(), allow_nan=False))
    elif not arguments.quiet:
        print(report.table())
        print(f"written: {output}, {picture}")
    failed = [v.name for v in report.verdicts if not v.passed]
    if failed:
        count = f"{len(failed)} of {len(report.verdicts)} verdicts fail"
        raise ComputationError(f"{count}: {'; '.join(failed)}")
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
    from wflow.results.labelled import told
    from wflow.results.load import load

    if Path(arguments.file).is_dir():
        from wflow.sweeps.result import load_sweep

        print(load_sweep(arguments.file).summary())
        return 0
    if not arguments.verify and (words := told(arguments.file)):
        print(words)
        return 0
    checked = ""
    if arguments.verify:
        damage, checked = _verified(arguments.file)
        if damage:
            print(f"wflow: {damage}", file=sys.stderr)
            return 1
    solution = load(arguments.file)
    print(solution.summary())
    for key, value in sorted(solution.attributes.items()):
        print(f"{printable(key):>16}: {printable(value)}")
    if checked:
        print(checked)
    return 0


def _verified(path: str) -> tuple[str, str]:
    """What came to harm in a file, in one line, or else what was found to be whole."""
    from wflow.storage import verify

    try:
        found = verify(path)
    except DamageError as e:
        return str(e), ""
    if found.damage:
        damage = printable(", ".join(found.damage))
        return f"{path} is damaged: {damage}: restore a copy, or run anew", ""
    if not found.checked:
        return "", "not verified: the file is of format 1, which has no checksums"
    counts = f"{found.n_frames} frames, {found.n_steps} steps"
    return "", f"verified: {counts}, attributes, axes and checkpoint are whole"


def plot(arguments: Any) -> int:
    """``wflow plot FILE``: a run, the report of a validation, or a study."""
    from wflow.results.labelled import LAYERS, REPORT, STUDY, kind_of_file
    from wflow.results.load import load

    movie, picture = (Path(p) if p else None for p in (arguments.movie, arguments.output))
    about_network = [
        f"--{n}" for n in ("step_size", "batch_size") if getattr(arguments, n) is not None
    ]
    if about_network and arguments.neurons is None:
        option = about_network[0].replace("_", "-")
        raise InputError(f"{option} says how a network is trained: give --neurons too")
    shown: Any
    if (kind := kind_of_file(arguments.file)) in (REPORT, LAYERS, STUDY):
        from wflow.validation import load_report, load_trend

        for option in ("movie", "neurons"):
            if getattr(arguments, option) is not None:
                raise InputError(
                    f"--{option}: {arguments.file} is a report, not a run: leave it out"
                )
        shown = (load_trend if kind == STUDY else load_report)(arguments.file)
    else:
        shown = load(arguments.file)
    if movie is not None and movie == picture:
        raise InputError(f"--movie {movie} and -o {picture}: give the picture another name")
    if movie is not None and arguments.neurons is not None:
        raise InputError("--movie with --neurons: the band is drawn in a picture; give -o instead")
    options.free_places([place for place in (movie, picture) if place], arguments.overwrite)
    if movie is not None:
        shown.animate(movie, fps=arguments.fps, overwrite=arguments.overwrite, progress=True)
        print(f"written: {movie}")
    elif picture is None:
        picture = options.free_name(options.picture_beside(Path(arguments.file)))
    if picture is not None and arguments.neurons is not None:
        from wflow.validation import band

        found = band(
            shown,
            n_neurons=arguments.neurons,
            step_size=arguments.step_size,
            batch_size=1 if arguments.batch_size is None else arguments.batch_size,
        )
        shown.plot(str(picture), band=found)
        print("\n".join(f"note: {note}" for note in found.notes) + "\n" * bool(found.notes), end="")
        print(f"written: {picture}")
    elif picture is not None:
        shown.plot(str(picture))
        print(f"written: {picture}")
    return 0
