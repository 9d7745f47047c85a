"""How long work takes."""

import statistics
import time


def median_seconds(work, seconds, at_least=1):
    """Median time, over about that many seconds and no fewer runs than asked for."""
    times = []
    end = time.perf_counter() + seconds
    while len(times) < at_least or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
