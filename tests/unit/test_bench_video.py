"""The parts of `make bench-video` that need no media still run."""

from fractions import Fraction

from bench.video import people


def test_the_cost_of_following_people_can_be_measured() -> None:
    assert people(Fraction(1, 60)) == 2 * 5 * 60
