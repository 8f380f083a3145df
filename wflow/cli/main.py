"""The command line: ``wflow list | show | run | validate | sweep | reproduce | info | plot``.

Exit status 0 done, 1 the computation failed, 2 the request is wrong (one line on stderr), 130 and 143 interrupted (a
checkpoint is written first).
"""

from __future__ import annotations

import argparse
import codecs
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, NoReturn

from wflow.cli import commands, options, run, sweep
from wflow.errors import ComputationError, InputError, WriteError

PLAIN = {
    "·": "-", "…": "...", "–": "-", "—": "-", "±": "+-", "²": "^2", "³": "^3", "×": "x", "→": "->",
    "≤": "<=", "≥": ">=", "−": "-", "τ": "tau", "λ": "lambda", "ρ": "rho", "Ψ": "Psi", "∫": "int ",
}  # fmt: skip
"""Signs in words of ASCII."""


class Terminated(BaseException):
    """SIGTERM arrived."""


class OneLineParser(argparse.ArgumentParser):
    """Errors in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see '{self.prog} --help'", file=sys.stderr)
        raise SystemExit(2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    _speak_anywhere()
    arguments = parser().parse_args(argv)

    def terminate(number: int, frame: Any) -> None:
        raise Terminated

    # Handlers belong to the main thread; called from another one, the command runs without.
    main_thread = threading.current_thread() is threading.main_thread()
    former = signal.signal(signal.SIGTERM, terminate) if main_thread else None
    try:
        status = int(arguments.command(arguments))
        sys.stdout.flush()
        return status
    except (ComputationError, FloatingPointError, WriteError) as e:
        return _complain(e, 1)
    except InputError as e:
        return _complain(e, 2)
    except MemoryError as e:
        return _complain(f"not enough memory ({e}): choose a smaller n", 1)
    except BrokenPipeError:
        # Whoever read our output has gone; what is still buffered must not complain at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as e:
        where = f" ({e.filename})" if e.filename else ""
        return _complain(f"{e.strerror or e}{where}", 1)
    except (KeyboardInterrupt, Terminated) as e:
        word, status = ("terminated", 143) if isinstance(e, Terminated) else ("interrupted", 130)
        return _complain(f"{word}{_way_on(arguments)}", status)
    finally:
        if main_thread:
            signal.signal(signal.SIGTERM, former or signal.SIG_DFL)


def _speak_anywhere() -> None:
    """Nothing that is printed may fail: closed streams swallow it, and poorer alphabets get the nearest signs."""
    codecs.register_error("nearest", _nearest)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  open for as long as the process lives
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="nearest")


def _nearest(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(PLAIN.get(c) or ascii(c)[1:-1] for c in bad), error.end


def _complain(what: object, status: int) -> int:
    """One line on stderr; the exit status is handed through."""
    print("wflow:", " ".join(str(what).split()), file=sys.stderr)
    return status


def _way_on(arguments: Any) -> str:
    """After an interruption: how a run or a sweep goes on, if it has left anything."""
    if arguments.command is sweep.sweep_plan and arguments.output is not None:
        return f"; {arguments.output} keeps what has landed: run the same line again to go on"
    if arguments.command is not run.run_system:
        return ""
    output = options.output_file(arguments)
    if not output.exists():
        return " before the first step; nothing was written"
    how = "run the same line again" if arguments.requeue else "add --resume"
    return f"; {output} holds the run so far: {how} to go on"


def parser() -> OneLineParser:
    """All commands and their options."""
    top = OneLineParser(prog="wflow", description="Mean-field limits of wide neural networks.")
    top.add_argument("--version", action="store_true", help="print the version and end")
    top.set_defaults(command=_version_or_help, top=top)
    adder = top.add_subparsers(title="commands", metavar="COMMAND", parser_class=OneLineParser)

    add = adder.add_parser("list", help="the systems, a line each, with source")
    add.set_defaults(command=commands.list_systems)

    add = adder.add_parser("show", help="a system's parameters")
    add.add_argument("system")
    add.set_defaults(command=commands.show_system)

    add = adder.add_parser("run", help="solve a system's flow")
    _common(add)
    add.add_argument("--method", help="default: auto, which tells its choice")
    add.add_argument(
        "--option",
        dest="method_options",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the method, e.g. step_size=1e-3 for langevin; may be repeated",
    )
    add.add_argument("--t-end", type=options.number, help="default: the system's")
    add.add_argument("--t-eval", help="times to save at, separated by commas")
    add.add_argument("--rtol", type=options.number, help="tolerance of a step; default: 1e-6")
    add.add_argument(
        "--atol",
        type=options.number,
        help="what is added to it: a length for particles, a share of the mass on grids; default: 1e-9",
    )
    add.add_argument("--seed", type=options.whole, help="key of the noise; default: 0")
    add.add_argument("--resume", action="store_true", help="carry the output file's run on")
    add.add_argument(
        "--requeue",
        action="store_true",
        help="start, or carry the file on, or end at once if it is finished: one line for a cluster's queue",
    )
    add.add_argument(
        "--dry-run", action="store_true", help="say what memory, steps and time it would take"
    )
    add.add_argument("--config", help="TOML file with the same options; the command line wins")
    add.set_defaults(command=run.run_system)

    add = adder.add_parser(
        "validate", help="hold the limit against SGD networks; exit status 1 when a verdict fails"
    )
    _common(add)
    add.add_argument("--neurons", help="sizes separated by commas; default: the published one")
    add.add_argument("--step-sizes", help="SGD steps separated by commas")
    add.add_argument("--seeds", type=options.whole, help="networks a size; default: 8")
    add.add_argument("--t-end", type=options.number)
    add.add_argument("--no-rates", action="store_true", help="leave out the study of rates in N")
    add.add_argument("--widths", help="four or more sizes of that study, separated by commas")
    add.add_argument(
        "--horizon", type=options.number, help="where it ends; default: about a tenth of t_end"
    )
    add.add_argument("--rate-seeds", type=options.whole, help="its networks a width; default: 32")
    add.add_argument(
        "--study", metavar="NAME", help="vary one quantity instead: d, T, relaxation, relaxation-d"
    )
    add.add_argument("--over", metavar="VALUES", help="its values, separated by commas")
    add.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster that trains them")
    add.add_argument("--json", action="store_true", help="print the numbers and nothing else")
    add.set_defaults(command=commands.validate_system)

    add = adder.add_parser("sweep", help="all runs of a plan, on all cores or a cluster")
    add.add_argument("plan", metavar="PLAN.toml")
    add.add_argument("-o", "--output", metavar="DIR", help="folder; the same line again goes on")
    add.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster, tcp://host:8786 say"
    )
    add.add_argument("--workers", type=options.whole, help="processes here; default: one a core")
    add.add_argument("--retry-failed", action="store_true", help="try failed runs again")
    add.add_argument(
        "--dry-run",
        action="store_true",
        help="say how many runs there are and what they would cost",
    )
    add.add_argument("--quiet", action="store_true", help="print nothing but errors")
    add.set_defaults(command=sweep.sweep_plan)

    add = adder.add_parser("reproduce", help="compute published figures anew; without a name, list")
    add.add_argument("figure", nargs="?", metavar="FIGURE|all")
    add.add_argument("-o", "--output", metavar="DIR", default=".", help="folder; default: this one")
    add.add_argument("--reduced", action="store_true", help="small sizes, a picture in seconds")
    add.add_argument("--overwrite", action="store_true", help="replace existing files")
    add.add_argument("--quiet", action="store_true", help="print nothing but errors")
    add.set_defaults(command=commands.reproduce_figures)

    add = adder.add_parser("info", help="what a file, or a sweep's folder, holds")
    add.add_argument("file")
    add.add_argument("--verify", action="store_true", help="hold all of it against its checksums")
    add.set_defaults(command=commands.info)

    add = adder.add_parser("plot", help="draw a file")
    add.add_argument("file")
    add.add_argument("-o", "--output", help="default: the file's name with .png, numbered if taken")
    add.add_argument("--movie", metavar="OUT", help="a movie of the frames, .gif or .mp4 (ffmpeg)")
    add.add_argument(
        "--fps", type=options.number, default=10.0, help="frames a second; default: 10"
    )
    add.add_argument(
        "--neurons", type=options.whole, help="draw where a network of so many is expected to be"
    )
    add.add_argument("--step-size", type=options.number, help="of its SGD; without, gradient flow")
    add.add_argument("--batch-size", type=options.whole, help="samples a step; default: 1")
    add.add_argument("--overwrite", action="store_true")
    add.set_defaults(command=commands.plot)
    return top


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
