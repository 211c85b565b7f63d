"""Kill one of two nodes of a local Ray cluster (SIGKILL, with its workers) in the middle of a
sweep, and compare what is there in the end with a sweep that nobody disturbed.

    python tests/stress/ray_nodes.py JOBS

The sweep is typed once: Ray gives the jobs of the node that died to the other one. Printed are the
steps of samplers that were taken more than once, as a share of those of the undisturbed sweep.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kills import ROOT
from sweeps import COUNTING, WORDS, begin, results

#: Of a node.
SMALL = {"num_cpus": 1, "object_store_memory": 2**27}


def cluster_of_two() -> tuple[Any, Any]:
    """A cluster, and the node of it that is not its head."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False})
    other = cluster.add_node(**SMALL)
    cluster.wait_for_nodes()
    return cluster, other


def working_on(folder: Path, node: Any) -> list[str]:
    """The jobs with a state that have not ended, whose process is a child of the node's raylet."""
    found = []
    for state in folder.glob("*/state.pt"):
        holder = state.parent / ".invset" / "holder.json"
        try:
            pid = json.loads(holder.read_text(encoding="utf-8"))["pid"]
        except (OSError, ValueError, KeyError):
            continue
        if pid in children(raylet(node)):
            found.append(state.parent.name)
    return found


def children(pid: int) -> list[int]:
    """The processes that a process has begun; none where it has died."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def kill(node: Any) -> None:
    """Kill the processes of a node that jobs run in, as a power failure does."""
    head = raylet(node)
    for pid in [head, *children(head)]:
        with contextlib.suppress(ProcessLookupError):  # it has noticed that the raylet is gone
            os.kill(pid, signal.SIGKILL)


def raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def main() -> None:
    jobs = int(sys.argv[1])
    words = ["run", "-m", *WORDS, f"seed={','.join(map(str, range(jobs)))}", "neuron=ship"]
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        (folder / "sitecustomize.py").write_text(COUNTING, encoding="utf-8")
        whole, cut = folder / "whole", folder / "cut"
        code = begin([*words, f"hydra.sweep.dir={whole}"], folder, folder / "steps").wait()
        # what the processes of a node begin with
        os.environ |= {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
        os.environ |= {"STEPS": str(folder / "cut-steps"), "RAY_USAGE_STATS_ENABLED": "0"}
        os.environ |= {"RAY_worker_niceness": "0"}  # Ray's own is 15
        cluster, other = cluster_of_two()
        try:
            typed = [*words, f"hydra.sweep.dir={cut}", "hydra/launcher=ray_cluster"]
            typed.append(f"hydra.launcher.ray.init.address={cluster.address}")
            sweep = begin(typed, folder, folder / "cut-steps")
            killed: list[str] = []
            while sweep.poll() is None:
                ended = len([*cut.glob("*/summary.json")])
                if not killed and 0 < ended < jobs - 1 and (killed := working_on(cut, other)):
                    kill(other)
                time.sleep(0.05)
            again = sweep.wait()
        finally:
            cluster.shutdown()
        alone, all_steps = (len((folder / name).read_bytes()) for name in ("steps", "cut-steps"))
        a, b = results(whole), results(cut)
        differ = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))
        with (cut / "sweep.csv").open(encoding="utf-8") as file:
            rows = [row["status"] for row in csv.DictReader(file)]
        log = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
        print(
            f"ray: {len(rows)} of {jobs} jobs in the table, exit codes {code} and {again}, the node"
            f" was killed in job {killed}, which went on {log.count('going on in')} times,"
            f" {all_steps} steps for {alone}:"
            f" {all_steps / alone - 1:.1%} repeated; {len(differ)} files differ {differ[:4]}"
        )
        if differ or again != code or not killed:
            print(log[-3000:])
        sys.exit(bool(differ or code != again or not killed or len(rows) != jobs))


if __name__ == "__main__":
    main()
