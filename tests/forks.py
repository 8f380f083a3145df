"""Work in a fork of the process that tests: a victim whose kernels are compiled already."""

import os
import traceback
from collections.abc import Callable
from typing import Any


def fork(work: Callable[[], Any]) -> int:
    """Begin ``work`` in a child, and go on; its exit status is 0 if the work is done, 1 if it fails."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            if status:  # there is nobody above to tell
                traceback.print_exc()
            os._exit(status)
    return child
