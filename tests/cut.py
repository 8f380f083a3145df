"""A tracker that breaks a run off."""

import math


class Cut:
    """Raises as Ctrl-C would, after so many steps of the driver (the start is seen first) or from a time on."""

    name = "cut"

    def __init__(self, steps=math.inf, t=math.inf, stop=KeyboardInterrupt):
        self.left, self.t, self.stop = steps + 1, t, stop

    def handle(self, t, observed):
        self.left -= 1
        if self.left == 0 or t >= self.t:
            raise self.stop

    def state(self):
        return []

    def restore(self, state):
        assert state == []
