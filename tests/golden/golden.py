"""Golden samples: what every sampler found before a change of the code must be found after it, byte
for byte.

    OMP_NUM_THREADS=1 python tests/golden/golden.py record /tmp/golden.json     # before the change
    OMP_NUM_THREADS=1 python tests/golden/golden.py compare /tmp/golden.json    # after it

Bytes differ between processors and numbers of threads, so the hashes are recorded and compared on
one machine. The suite (`tests/test_golden.py`) compares the samples of the toys, in float64, with
`toys.safetensors` to 1e-5.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from golden_toys import toys

#: What is typed behind ``invset run``, by name.
COMMANDS = {
    "stream": ["neuron=horse", "z1=10", "z2=12", "n=40"],
    "stream, a channel": ["layer=conv5", "neuron=80", "z1=6", "z2=7", "n=20"],
    "stream, an intersection": [
        "neurons=[{neuron: horse, z1: 4, z2: 6}, {neuron: ship, z1: 4, z2: 6}]",
        "n=20",
    ],
    "two_stage": ["sampler=two_stage", "neuron=horse", "z1=10", "z2=12", "n=40"],
    "two_stage, eq. (11)": [
        *("sampler=two_stage", "neuron=horse", "z1=10", "z2=12", "n=40", "sampler.walk=0"),
    ],
    "paper": ["sampler=paper", "neuron=horse", "z1=3", "z2=4", "n=20", "inner_steps=20"],
    "full": ["sampler=full", "neuron=horse", "z1=8", "z2=12", "n=20", "sampler.max_outer=8"],
    "ppgn": [
        *("sampler=ppgn", "neuron=horse", "z1=10", "z2=12", "K=4", "n=40", "sampler.n_iters=20"),
    ],
    "ladder": ["sampler=ladder", "neuron=horse", "K=6", "sampler.ranges=[[2,4],[7,9],[12,14]]"],
}


def sha256(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def typed(words: list[str], folder: Path) -> dict[str, Tensor]:
    """The tensors that ``invset run WORDS`` saves."""
    from hydra.core.global_hydra import GlobalHydra

    from invset.cli import main

    quiet = ["report=false", "animation=false", "progress=false", f"hydra.run.dir={folder}"]
    sys.argv = ["invset", "run", "network=mini", *words, *quiet]
    GlobalHydra.instance().clear()
    with (
        contextlib.suppress(SystemExit),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        main()
    return load_file(folder / "samples.safetensors")


def hashes() -> dict[str, str]:
    found = {f"toy {name}": sha256(u, f) for name, (u, f) in toys().items()}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, words) in enumerate(COMMANDS.items()):
            saved = typed(words, Path(folder) / str(number))
            found[f"mini {name}"] = sha256(saved["codes"], saved["activations"])
    return found


def main() -> int:
    torch.set_num_threads(1)
    verb, path = sys.argv[1], Path(sys.argv[2])
    found = hashes()
    if verb == "record":
        path.write_text(json.dumps(found, indent=1), encoding="utf-8")
        print(f"{len(found)} hashes in {path}")
        return 0
    before = json.loads(path.read_text(encoding="utf-8"))
    changed = [name for name in before if before[name] != found.get(name)]
    print(f"{len(before) - len(changed)} of {len(before)} unchanged", *changed, sep="\n  ")
    return len(changed)


if __name__ == "__main__":
    sys.exit(main())
