"""How many cores this process may use."""

import os
from pathlib import Path

SYSTEM = Path("/sys")


def usable_cores(system: Path = SYSTEM) -> int:
    """Physical cores that the process may run on, at least 1.

    Counts the logical processors of the CPU affinity, two hardware threads of one core once, and keeps to the CPU quota
    of a container (cgroup v2 `cpu.max`, v1 `cpu.cfs_quota_us`), rounded up. Where the topology is not shown, logical
    processors are counted.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_core(system, cpu) for cpu in allowed}
    quota = _quota(system)
    return max(1, len(cores) if quota is None else min(len(cores), quota))


def _core(system: Path, cpu: int) -> str:
    """A name that the hardware threads of one core share."""
    try:
        return (system / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _quota(system: Path) -> int | None:
    """Whole processors' worth of CPU time the container may use, or None without a limit."""
    try:
        limit, period = (system / "fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit = (system / "fs/cgroup/cpu/cpu.cfs_quota_us").read_text().strip()
            period = (system / "fs/cgroup/cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not limit.isdecimal() or not period.isdecimal() or int(period) == 0:  # "max" and -1 mean no limit
        return None
    return max(1, -(-int(limit) // int(period)))
