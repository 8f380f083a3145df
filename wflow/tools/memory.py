"""How much memory is free, and the refusal of what needs more."""

from __future__ import annotations

from pathlib import Path

from wflow.errors import InputError

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")
MANY = 1 << 24
"""Floats that fit anywhere."""
NAME = 8
"""Floats that the name of a coordinate takes the place of."""


def size(n: float) -> str:
    """A number of bytes as people write it.

    >>> size(3.2e9), size(512)
    ('3.2 GB', '512 bytes')
    """
    power = min(max(len(str(int(n))) - 1, 0) // 3, 5)
    return f"{n / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB', 'PB')[power]}"


def free_memory() -> int | None:
    """Bytes that this process can still have: of the machine, and of its control group; None where nobody tells."""
    found = []
    for line in _text(MEMINFO).splitlines():
        if line.startswith("MemAvailable:"):
            found.append(1024 * int(line.split()[1]))
    limit, used = _text(CGROUP / "memory.max").strip(), _text(CGROUP / "memory.current").strip()
    if limit.isdigit() and used.isdigit():
        found.append(max(int(limit) - int(used), 0))
    return min(found, default=None)


def check_memory(what: str, needed: float, remedy: str) -> None:
    """Refuse what needs more memory than there is, before it is begun.

    Raises
    ------
    InputError
        with both figures

    >>> check_memory("a grid of 10^15 cells", 8e15, "take fewer")
    Traceback (most recent call last):
    wflow.errors.InputError: a grid of 10^15 cells needs about 8 PB of memory, and ...: take fewer
    """
    free = free_memory()
    if free is not None and needed > free:
        raise InputError(
            f"{what} needs about {size(needed)} of memory, and {size(free)} are free: {remedy}"
        )


def check_held(name: str, count: int, each: float = 1) -> int:
    """The number of things of ``each`` floats, if memory holds them.

    >>> check_held("n", 3)
    3
    >>> check_held("n", 10**15)
    Traceback (most recent call last):
    wflow.errors.InputError: n = 1000000000000000 needs about 8 PB of memory, and ...: give a smaller n
    """
    if count * each > MANY:
        check_memory(f"{name} = {count}", 8.0 * count * each, f"give a smaller {name}")
    return count


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
