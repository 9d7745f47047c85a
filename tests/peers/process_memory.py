"""The memory of a process."""

from pathlib import Path


def memory_status(key, process="self"):
    """Returns VmRSS, the resident memory of a process in bytes, or VmHWM, its peak; 0 for a process that has just ended."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(key + ":")), 0)
