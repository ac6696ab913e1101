"""Probabilities as log odds and back, for small logistic models that join what several sources say."""

import math


def log_odds(probability: float) -> float:
    """Log odds of a probability 0..1; beyond 1 and 99 % taken as these.

    >>> round(log_odds(0.75), 3)
    1.099
    """
    limited = min(max(probability, 0.01), 0.99)
    return math.log(limited / (1 - limited))


def logistic(odds: float) -> float:
    """The probability 0..1 of log odds, however large."""
    return 0.5 * (1 + math.tanh(odds / 2))
