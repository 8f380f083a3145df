"""What two runs that are the same have in common: every bit."""

from typing import Any


def same_bits(one: Any, other: Any) -> None:
    """Times, series, step rows, measures and the ending of two solutions."""
    assert (one.success, one.message) == (other.success, other.message)
    assert {k: one.stats[k] for k in ("steps", "rejections")} == {
        k: other.stats[k] for k in ("steps", "rejections")
    }
    assert one.t.tobytes() == other.t.tobytes()
    for mine, theirs in ((one.series, other.series), (one.steps, other.steps)):
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert mine[name].tobytes() == theirs[name].tobytes(), name
    for m, n in zip(one.measures, other.measures, strict=True):
        same_measure(m, n)


def same_measure(m: Any, n: Any) -> None:
    """Kind, points and weights."""
    assert type(m) is type(n)
    assert m.points().tobytes() == n.points().tobytes()
    assert m.weights().tobytes() == n.weights().tobytes()
