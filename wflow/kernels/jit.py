"""The one wrapper over ``numba.njit`` that every kernel goes through.

numba's own cache looks at one file only: after an edit of a helper in another file, a cached caller goes
on returning the old answer. Here the folder of the cache is named after a hash of all kernel sources, so
that any edit starts afresh; and where no folder can be written, kernels are compiled without a cache
instead of raising. numba's settings stay as they are for the user's own compiled functions.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, overload

import numba
from numba.core.caching import FunctionCache
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])

FUSED = frozenset({"contract"})
"""``fastmath`` for long products: a*b + c may be rounded once. NaN and infinity keep their meaning."""

REORDERED = frozenset({"contract", "reassoc", "nsz"})
"""``fastmath`` that also lets sums be reordered, hence vectorised. NaN and infinity keep their meaning."""

_PREFIX = "wflow-"
_GENERATIONS_KEPT = 8
_settings: Any = numba.config
_changing_cache_dir = threading.Lock()


@overload
def jit(func: F, **options: Any) -> F: ...
@overload
def jit(func: None = None, **options: Any) -> Callable[[F], F]: ...
def jit(func: Any = None, **options: Any) -> Any:
    """Compile a kernel at its first call; later processes find it on disk.

    The defaults are ``nogil=True`` (kernels run side by side in threads), ``error_model="numpy"`` (1/0 is
    inf) and ``cache=True``. ``apart=True`` promises that no array that is written shares memory with another
    argument: loops over many arrays then vectorise without a test for every pair. Everything else is passed on
    to ``numba.njit``. Signatures stay lazy: an eager one would compile at import.

    >>> @jit(cache=False)
    ... def twice(x):
    ...     return 2.0 * x
    >>> twice(1.5)
    3.0
    """
    if func is None:
        return lambda f: jit(f, **options)
    cached, apart = options.pop("cache", True), options.pop("apart", False)
    settings: dict[str, Any] = {"nogil": True, "error_model": "numpy", **options}
    if isinstance(settings.get("fastmath"), frozenset):
        settings["fastmath"] = set(settings["fastmath"])
    kernel = numba.njit(**settings)(func)
    if apart and hasattr(kernel, "_compiler"):
        kernel._compiler._customize_flags = _without_aliases
    folder = cache_folder() if cached else None
    new_cache: Any = _ForgivingCache
    # Without the JIT (NUMBA_DISABLE_JIT, to measure coverage) njit returns the function itself.
    if folder is not None and kernel is not func:
        with _changing_cache_dir:
            # numba reads this setting once, while the cache object of this kernel is made.
            before = _settings.CACHE_DIR
            _settings.CACHE_DIR = str(folder)
            try:
                kernel._cache = new_cache(kernel.py_func)
            except (RuntimeError, OSError):
                # "no locator available": the source is no file (typed at a prompt) or the folder was
                # taken away. numba then compiles in memory.
                return kernel
            finally:
                _settings.CACHE_DIR = before
    return kernel


def _without_aliases(flags: Any) -> Any:
    flags.noalias = True
    return flags


def instructions(plain: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: numba's ``intrinsic``, or without the JIT (NUMBA_DISABLE_JIT) ``plain``, which does the same."""
    return lambda typed: plain if _settings.DISABLE_JIT else intrinsic(typed)


@instructions(lambda: None)
def widest(_context: Any) -> Any:
    """Let the kernel that calls this use the machine's widest vectors; LLVM keeps to 256 bits where there are 512.

    Worth a factor of 2 in loops of arithmetic that stay in the cache. It acts on the kernel alone, not on numba.
    """

    def mark(_target: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        attributes = builder.function.attributes
        if isinstance(attributes, set):
            # llvmlite's own ``add`` knows no attributes with a value.
            set.add(attributes, '"prefer-vector-width"="512"')
        return _target.get_dummy_value()

    return numba.types.none(), mark


class _ForgivingCache(FunctionCache):
    """A cache that a full disk or a folder removed under way turns into no cache, not into an error."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        base: Any = super()
        try:
            return base.load_overload(sig, target_context)
        except (OSError, EOFError):
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        base: Any = super()
        try:
            base.save_overload(sig, data)
        except OSError:
            base.disable()


@cache
def cache_folder() -> Path | None:
    """The folder of this generation of kernels, or None where nothing can be written.

    Tried in this order: ``NUMBA_CACHE_DIR``, ``__pycache__`` beside the kernels, the user's cache folder.
    """
    here = Path(__file__).resolve().parent
    chosen = _settings.CACHE_DIR
    if chosen:
        bases = [Path(chosen)]
    else:
        user = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        bases = [here / "__pycache__", Path(user) / "wflow"]
    name = _PREFIX + source_hash(here)
    for base in bases:
        folder = base / name
        is_new = not folder.is_dir()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        if is_new:
            _remove_old_generations(base)
        return folder
    return None


def source_hash(folder: Path) -> str:
    """A short hash over the source files of a folder: their places in it, since names recur, and their contents."""
    h = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        text = path.read_bytes()
        h.update(f"{path.relative_to(folder).as_posix()} {len(text)} ".encode())
        h.update(text)
    return h.hexdigest()[:16]


def _remove_old_generations(base: Path) -> None:
    """Keep the newest few: another checkout may share the folder. A kernel in use only loses its file."""
    try:
        folders = [p for p in base.glob(_PREFIX + "*") if p.is_dir()]
        folders.sort(key=lambda p: p.stat().st_mtime, reverse=True)
    except OSError:
        return
    for folder in folders[_GENERATIONS_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)
