"""What the command line reads: numbers, NAME=VALUE pairs, a TOML file, and the places it may write to."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wflow.errors import InputError, StorageError, unknown
from wflow.tools.checks import check_path, read_number, read_whole
from wflow.tools.toml import read_toml

if TYPE_CHECKING:
    from wflow.systems import System

CONFIG_OPTIONS: dict[str, tuple[tuple[type, ...], str]] = {
    "method": ((str,), "a name"),
    "t_end": ((int, float), "a number"),
    "t_eval": ((int, float, list, str), "a list of numbers"),
    "output": ((str,), "a file name"),
    "rtol": ((int, float), "a number"),
    "atol": ((int, float), "a number"),
    "seed": ((int,), "a whole number"),
    "overwrite": ((bool,), "true or false"),
    "quiet": ((bool,), "true or false"),
}
"""What may stand in a --config file beside [parameters]: types, and how to say so."""


def read_config(arguments: Any) -> None:
    """Fill options that the command line leaves open from a TOML file."""
    if not arguments.config:
        return
    path = check_path("--config", arguments.config)
    table = read_toml("--config", path)
    inside = table.pop("parameters", {})
    if not isinstance(inside, dict):
        raise InputError(f"--config {path}: [parameters] must be a table of NAME = VALUE")
    named = {p.split("=")[0] for p in arguments.parameters}
    arguments.parameters += [f"{k}={v}" for k, v in inside.items() if k not in named]
    for key, value in table.items():
        if key not in CONFIG_OPTIONS:
            raise unknown("option", key, [*CONFIG_OPTIONS, "parameters"], of=f"--config {path}")
        kinds, wanted = CONFIG_OPTIONS[key]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise InputError(f"--config {path}: {key} = {value!r}: give {wanted}")
        if key == "t_eval" and isinstance(value, list):
            value = ",".join(str(v) for v in value)
        held = getattr(arguments, key)
        if held is None or held is False:  # 0 is an answer
            setattr(arguments, key, value)


def pairs(texts: Sequence[str], option: str = "-p") -> dict[str, str]:
    """NAME=VALUE texts of an option as a dict."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"{option} {text}: write NAME=VALUE")
        if name in found:
            raise InputError(f"{option} {name} is given twice: give it once")
        found[name] = value
    return found


def method_options(texts: Sequence[str], method: str) -> dict[str, bool | int | float | str]:
    """Options of a method, numbers, true or false, and words; the method says what it makes of them.

    >>> method_options(["step_size=1e-3"], "langevin"), method_options(["first=reaction"], "lie")
    ({'step_size': 0.001}, {'first': 'reaction'})
    """
    if texts and method == "auto":
        raise InputError(f"--option {texts[0]}: name the method too, with --method")
    return {name: _value(text) for name, text in pairs(texts, "--option").items()}


def _value(text: str) -> bool | int | float | str:
    """The first of the four that the text can be."""
    if text in ("true", "false"):
        return text == "true"
    kinds: tuple[Callable[[str], int | float], ...] = (read_whole, read_number)
    for kind in kinds:
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def number(text: str) -> float:
    """A number, for argparse."""
    try:
        return read_number(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None


def whole(text: str) -> int:
    """A whole number, for argparse."""
    try:
        return read_whole(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None


def numbers(name: str, text: str) -> list[float]:
    """Numbers separated by commas."""
    try:
        return [read_number(part) for part in str(text).split(",")]
    except ValueError:
        raise InputError(f"{name} = '{text}': give numbers separated by commas") from None


def integers(name: str, text: str) -> list[int]:
    """Whole numbers separated by commas."""
    try:
        return [read_whole(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{name} = '{text}': give whole numbers separated by commas") from None


def picture_beside(file: Path) -> Path:
    """The PNG beside a file, never the file itself."""
    picture = file.with_suffix(".png")
    if picture == file:
        raise InputError(f"{file}: a PNG stands beside the HDF5 file; call that one {file.stem}.h5")
    return picture


def free_name(path: Path) -> Path:
    """The path itself, or where that exists the first of NAME-1, NAME-2, … that does not.

    >>> free_name(Path("no-such-file.png")).name
    'no-such-file.png'
    """
    free, number = path, 0
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def free_places(paths: Sequence[Path], overwrite: bool) -> None:
    """Refuse places that are taken or are none, before any work is done."""
    from wflow.storage.disk import check_place

    for path in paths:
        check_place(path, overwrite=True)
        if path.exists() and not overwrite:
            raise StorageError(f"{path} exists: choose another name with -o, or add --overwrite")


def output_file(arguments: Any, ending: str = "") -> Path:
    """The HDF5 file a command writes."""
    if arguments.output is None:
        return Path(f"{arguments.system}{ending}.h5")
    if not arguments.output or not Path(arguments.output).name:
        raise InputError(f"-o '{arguments.output}': give a file name, run.h5 say")
    return Path(arguments.output)


def catalogued(name: str) -> type[System]:
    """A system's class by its name."""
    from wflow.systems import catalogue

    return catalogue()[name]
