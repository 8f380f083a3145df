"""The command line: ``wflow list | show | run | validate | info | plot``.

Exit status 0 done, 1 the computation failed, 2 the request is wrong (one line on stderr), 130 and 143 interrupted (a
checkpoint is written first).
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from wflow.errors import ComputationError, InputError, StorageError


class Terminated(BaseException):
    """SIGTERM arrived."""


class OneLineParser(argparse.ArgumentParser):
    """Errors in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see '{self.prog} --help'", file=sys.stderr)
        raise SystemExit(2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    arguments = parser().parse_args(argv)

    def terminate(number: int, frame: Any) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        return int(arguments.command(arguments))
    except StorageError as e:
        print(f"wflow: {e}", file=sys.stderr)
        return 1 if getattr(e, "during_write", False) else 2
    except InputError as e:
        print(f"wflow: {e}", file=sys.stderr)
        return 2
    except ComputationError as e:
        print(f"wflow: {e}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Terminated) as e:
        word, status = ("terminated", 143) if isinstance(e, Terminated) else ("interrupted", 130)
        print(
            f"wflow: {word}; a run's file holds its last checkpoint: wflow run … --resume",
            file=sys.stderr,
        )
        return status
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def parser() -> OneLineParser:
    """All commands and their options."""
    top = OneLineParser(prog="wflow", description="Mean-field limits of wide neural networks.")
    top.add_argument("--version", action="store_true", help="print the version and end")
    top.set_defaults(command=_version_or_help, top=top)
    commands = top.add_subparsers(title="commands", metavar="COMMAND", parser_class=OneLineParser)

    add = commands.add_parser("list", help="the systems, a line each, with source")
    add.set_defaults(command=list_systems)

    add = commands.add_parser("show", help="a system's parameters")
    add.add_argument("system")
    add.set_defaults(command=show_system)

    add = commands.add_parser("run", help="solve a system's flow")
    _common(add)
    add.add_argument("--method", default="auto", help="default: auto, which tells its choice")
    add.add_argument("--t-end", type=_number, help="default: the system's")
    add.add_argument("--t-eval", help="times to save at, separated by commas")
    add.add_argument("--rtol", type=_number, default=1e-6)
    add.add_argument("--seed", type=int, default=0)
    add.add_argument("--resume", action="store_true", help="carry the output file's run on")
    add.add_argument("--config", help="TOML file with the same options; the command line wins")
    add.set_defaults(command=run_system)

    add = commands.add_parser("validate", help="hold the limit against SGD networks")
    _common(add)
    add.add_argument("--neurons", help="sizes separated by commas")
    add.add_argument("--step-sizes", help="SGD steps separated by commas")
    add.add_argument("--seeds", type=int, default=8)
    add.add_argument("--t-end", type=_number)
    add.set_defaults(command=validate_system)

    add = commands.add_parser("info", help="what a file holds")
    add.add_argument("file")
    add.set_defaults(command=info)

    add = commands.add_parser("plot", help="draw a file")
    add.add_argument("file")
    add.add_argument("-o", "--output", help="default: the file's name with .png")
    add.add_argument("--overwrite", action="store_true")
    add.set_defaults(command=plot)
    return top


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
    print(f"{'name':<16}{'default':<12}{'published':<12}{'allowed':<24}meaning")
    for p in _schema(system):
        default = "" if p.default is None else str(p.default)
        print(f"{p.name:<16}{default:<12}{p.published:<12}{p.allowed():<24}{p.meaning}")
    if system.sgd:
        inside = ", ".join(f"{k} = {v:g}" for k, v in system.sgd.items())
        print(f"\npublished SGD: {inside}")
    return 0


def run_system(arguments: Any) -> int:
    """``wflow run SYSTEM``."""
    from wflow import evolve, restart
    from wflow.systems.catalogue import FLOW_PARAMETERS

    _read_config(arguments)
    cls = _catalogued(arguments.system)
    output = Path(arguments.output or f"{arguments.system}.h5")
    picture = output.with_suffix(".png")
    say = (lambda *words: None) if arguments.quiet else print
    if arguments.resume:
        if not output.exists():
            raise InputError(f"--resume: there is no {output}; run without --resume first")
        if arguments.parameters:
            raise InputError("--resume with -p: the file holds the parameters; leave -p out")
        solution = restart.resume(output, t_end=arguments.t_end, progress=not arguments.quiet)
    else:
        _free([output, picture], arguments.overwrite)
        given = _pairs(arguments.parameters)
        own, flow_values, start = _sort_parameters(cls, given)
        system = cls(**own)
        flow = system.flow(**{p.name: flow_values[p.name] for p in FLOW_PARAMETERS})
        end = system.t_end if arguments.t_end is None else arguments.t_end
        kind = start["measure"] if "measure" in given else _measure_for(system, arguments.method)
        times = _numbers(arguments.t_eval) if arguments.t_eval else system.saved_times(end)
        solution = evolve.solve(
            flow,
            system.initial(kind, start["n"] or None),
            (0.0, end),
            method=arguments.method,
            t_eval=times,
            rtol=arguments.rtol,
            seed=arguments.seed,
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
    output = Path(arguments.output or f"{arguments.system}-validation.h5")
    picture = output.with_suffix(".png")
    _free([output, picture], arguments.overwrite)
    own, flow_values, _ = _sort_parameters(cls, _pairs(arguments.parameters))
    if flow_values["reaction_rate"]:
        raise InputError("reaction_rate: plain SGD has no birth-death; leave it 0 to validate")
    report = validate(
        cls(**own),
        neurons=_integers(arguments.neurons) if arguments.neurons else None,
        step_sizes=_numbers(arguments.step_sizes) if arguments.step_sizes else None,
        seeds=arguments.seeds,
        t_end=arguments.t_end,
        temperature=flow_values["temperature"],
        ridge=flow_values["ridge"],
        output=output,
        overwrite=arguments.overwrite,
        progress=not arguments.quiet,
    )
    report.plot(picture)
    if not arguments.quiet:
        print(report.table())
        print(f"written: {output}, {picture}")
    return 0


def info(arguments: Any) -> int:
    """``wflow info FILE``."""
    from wflow.restart import load

    solution = load(arguments.file)
    print(solution.summary())
    for key, value in sorted(solution.attributes.items()):
        print(f"{key:>16}: {value}")
    return 0


def plot(arguments: Any) -> int:
    """``wflow plot FILE``."""
    from wflow.restart import load

    picture = Path(arguments.output or Path(arguments.file).with_suffix(".png"))
    solution = load(arguments.file)
    if arguments.output:
        _free([picture], arguments.overwrite)
    solution.plot(str(picture))
    print(f"written: {picture}")
    return 0


def _common(add: argparse.ArgumentParser) -> None:
    add.add_argument("system")
    add.add_argument(
        "-p",
        dest="parameters",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the system, the flow or the start; may be repeated",
    )
    add.add_argument("-o", "--output", metavar="FILE.h5", help="HDF5 file; a PNG stands beside it")
    add.add_argument("--overwrite", action="store_true", help="replace existing files")
    add.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _version_or_help(arguments: Any) -> int:
    if arguments.version:
        import wflow

        print(f"wflow {wflow.__version__}")
        return 0
    arguments.top.print_help()
    return 0


def _catalogued(name: str) -> Any:
    from wflow.errors import unknown
    from wflow.systems import catalogue

    known = catalogue()
    if name not in known:
        raise unknown("system", name, known, "See 'wflow list'.")
    return known[name]


def _schema(system: Any) -> list[Any]:
    from wflow.systems.catalogue import FLOW_PARAMETERS, START_PARAMETERS

    return [*system.parameters, *FLOW_PARAMETERS, *START_PARAMETERS]


def _sort_parameters(cls: Any, given: dict[str, str]) -> tuple[dict[str, Any], ...]:
    """Values for the system, the flow and the start from one list."""
    from wflow.parameters import read_parameters
    from wflow.systems.catalogue import FLOW_PARAMETERS, START_PARAMETERS

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


def _read_config(arguments: Any) -> None:
    """Fill options that the command line leaves open from a TOML file."""
    if not arguments.config:
        return
    import tomllib

    path = Path(arguments.config)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise InputError(f"--config {path}: {e.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise InputError(f"--config {path} is not TOML: {e}") from None
    inside = table.pop("parameters", {})
    if not isinstance(inside, dict):
        raise InputError(f"--config {path}: [parameters] must be a table of NAME = VALUE")
    named = {p.split("=")[0] for p in arguments.parameters}
    arguments.parameters += [f"{k}={v}" for k, v in inside.items() if k not in named]
    defaults = {
        "method": "auto",
        "t_end": None,
        "output": None,
        "rtol": 1e-6,
        "seed": 0,
        "t_eval": None,
    }
    for key, value in table.items():
        if key not in defaults:
            from wflow.errors import unknown

            raise unknown(f"option in {path}", key, [*defaults, "parameters"])
        if key == "t_eval" and isinstance(value, list):
            value = ",".join(str(v) for v in value)
        if getattr(arguments, key) == defaults[key]:
            setattr(arguments, key, value)


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"-p {text}: write NAME=VALUE")
        if name in pairs:
            raise InputError(f"-p {name} is given twice: give it once")
        pairs[name] = value
    return pairs


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in str(text).split(",")]
    except ValueError:
        raise InputError(f"'{text}': give numbers separated by commas") from None


def _integers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"'{text}': give whole numbers separated by commas") from None


def _free(paths: Sequence[Path], overwrite: bool) -> None:
    from wflow.validation.report import check_free

    for path in paths:
        check_free(path, overwrite)
