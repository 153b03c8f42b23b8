"""Bounded exponential backoff between attempts to go on after a broken call."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from ugosa_client.errors import UgosaClientError


@dataclass(frozen=True)
class RetryPolicy:
    """Patience with broken calls."""

    attempts: int = 8
    """Failures in a row without progress, after which the error is raised; >= 1."""
    initial_s: float = 0.1
    """Wait after the first failure, in seconds; doubled after each further one."""
    maximum_s: float = 5.0
    """Longest wait, in seconds."""

    def delay_s(self, failures: int) -> float:
        """Return the wait after so many failures in a row, with +-20 % jitter."""
        return min(self.maximum_s, self.initial_s * 2.0 ** (failures - 1)) * random.uniform(0.8, 1.2)


class Backoff:
    """Counter of failures in a row, with waits between them."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failures = 0

    def made_progress(self) -> None:
        """Reset the count: something went through since."""
        self._failures = 0

    def wait_or_raise(self, error: UgosaClientError) -> None:
        """Wait before the next attempt, or raise `error` after enough failures."""
        self._failures += 1
        if self._failures >= self._policy.attempts:
            raise error
        time.sleep(self._policy.delay_s(self._failures))
