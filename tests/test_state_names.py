"""State dicts as training leaves them: under keys, with what wrappers add, of any tensors."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from invset.errors import InvsetError
from invset.files.readers import read_weights
from invset.nets.state_names import renamed
from invset.nets.weights import checksum, load_state


class Net(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.features = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
        self.head = nn.Linear(2, 3)


def prefixed(before: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{before}{name}": tensor for name, tensor in state.items()}


@pytest.fixture
def state() -> dict[str, Tensor]:
    return Net(0).state_dict()


def loads(tmp_path: Path, content: Any, module: nn.Module | None = None) -> bool:
    """Whether a file with this content loads into a module of other weights."""
    torch.save(content, tmp_path / "w.pth")
    module = Net(1) if module is None else module
    load_state(module, read_weights(tmp_path / "w.pth"), tmp_path / "w.pth")
    return checksum(module) == checksum(Net(0))


@pytest.mark.parametrize(
    "before",
    [
        *("module.", "_orig_mod.", "model.", "net.", "encoder.body."),
        *("module._orig_mod.", "_orig_mod.module.", "model.module.", "module.model._orig_mod."),
    ],
)
def test_names_without_what_stands_before_all_of_them(tmp_path, caplog, state, before):
    assert loads(tmp_path, prefixed(before, state))
    told = caplog.text
    assert f"{before}features.0.weight is taken as features.0.weight" in told


def test_wrappers_inside_of_names(tmp_path, caplog, state):
    inside = {name.replace("features.", "features.module.", 1): t for name, t in state.items()}
    assert loads(tmp_path, inside)
    assert "features.module.0.weight is taken as features.0.weight" in caplog.text


def test_names_that_fit_are_not_touched(tmp_path, caplog, state):
    assert renamed(state, state.keys(), "w.pth") is state
    wrapper = nn.ModuleDict({"module": Net(1)})
    torch.save(prefixed("module.", state), tmp_path / "w.pth")
    load_state(wrapper, read_weights(tmp_path / "w.pth"), tmp_path / "w.pth")
    assert checksum(wrapper["module"]) == checksum(Net(0))
    assert caplog.text == ""


def test_a_wrapped_module_takes_plain_names(tmp_path, state):
    wrapper = nn.ModuleDict({"module": Net(1)})
    load_state(wrapper, state, "w.pth")
    assert checksum(wrapper["module"]) == checksum(Net(0))


def test_counters_may_be_missing(tmp_path, state):
    without = {k: v for k, v in prefixed("module.", state).items() if "num_batches" not in k}
    assert loads(tmp_path, without)


def test_other_parts_of_a_training_are_left_out_and_told(tmp_path, caplog, state):
    assert loads(tmp_path, {**prefixed("model.", state), "criterion.weight": torch.ones(3)})
    assert "1 others, such as criterion.weight, are left out" in caplog.text


def test_weights_that_fit_twice_are_refused(tmp_path, state):
    both = {**prefixed("student.", state), **prefixed("teacher.", state)}
    with pytest.raises(InvsetError, match=r"fit twice, as student\.… and teacher\.…; save one"):
        loads(tmp_path, both)


def test_weights_of_another_module_do_not_fit(tmp_path, state):
    with pytest.raises(InvsetError, match=r"do not fit: .*Missing key"):
        loads(tmp_path, prefixed("module.", {"features.0.weight": state["features.0.weight"]}))


@pytest.mark.parametrize(
    "keys",
    [
        *(("state_dict",), ("model_state_dict",), ("model",), ("net",), ("ema",), ("generator",)),
        *(("state", "model"), ("checkpoint", "model_state_dict"), ("a", "b", "c")),
    ],
)
def test_weights_under_a_key(tmp_path, caplog, state, keys):
    content: Any = state
    for key in reversed(keys):
        content = {key: content, "epoch": 3, "lr": 0.1, "names": ["a"], "none": None}
    assert loads(tmp_path, content)
    assert f"the weights are those under {'.'.join(keys)}" in caplog.text


def test_a_key_and_a_prefix_and_an_optimizer(tmp_path, state):
    optimizer = torch.optim.Adam(Net(0).parameters())
    content = {
        "state_dict": prefixed("module.model.", state),
        "optimizer": optimizer.state_dict(),
        "rng": {"cpu": torch.get_rng_state()},
    }
    assert loads(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"model": "weights", "ema": "weights"},
            "holds several state dicts, under model and ema; save one",
        ),
        ({"g": "weights", "d": "weights"}, "holds several state dicts, under g, d; save it with"),
        ({"epoch": torch.ones(1), "names": ["a"]}, "holds no state dict; save it with"),
        ([1, 2], "holds no state dict"),
        ({1: 2}, "holds no state dict"),
        ({}, "holds no state dict"),
    ],
)
def test_files_without_one_state_dict(tmp_path, state, content, message):
    if isinstance(content, dict):
        content = {
            key: state if isinstance(value, str) else value for key, value in content.items()
        }
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InvsetError, match=message):
        read_weights(tmp_path / "w.pth")


@pytest.mark.filterwarnings("ignore")  # torch.jit is on its way out
@pytest.mark.parametrize("kind", ["zip", "old", "jit"])
def test_whole_modules_are_refused_without_advice_to_run_them(tmp_path, kind):
    if kind == "jit":
        torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(tmp_path / "w.pth")
    else:
        torch.save(Net(0), tmp_path / "w.pth", _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(InvsetError) as told:
        read_weights(tmp_path / "w.pth")
    expected = "module of torch.jit" if kind == "jit" else "other objects than tensors"
    assert re.search(rf"w\.pth .*{expected}.*; save it with torch\.save", str(told.value))
    assert "weights_only" not in str(told.value)


def test_weights_in_several_files(tmp_path, state):
    names = {}
    for i, (name, tensor) in enumerate(state.items()):
        names[name] = f"part-{i % 2}.safetensors"
        mine = {n: t for n, t in state.items() if names.get(n) == names[name]}
        save_file({**mine, name: tensor}, tmp_path / names[name])
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": names}))
    found = read_weights(index)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)
    index.write_text(json.dumps({"weight_map": {**names, "more": "part-0.safetensors"}}))
    with pytest.raises(InvsetError, match="differ in what they hold, such as more"):
        read_weights(index)
    for file in ("../part-0.safetensors", "/etc/passwd", index.name):
        index.write_text(json.dumps({"weight_map": {"a": file}}))
        with pytest.raises(InvsetError, match="is no file of weights beside it"):
            read_weights(index)


class Odd(nn.Module):
    """A module with one buffer of any kind."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value)


KINDS = {
    "bfloat16": lambda x: x.bfloat16(),
    "float8": lambda x: x.to(torch.float8_e4m3fn),
    "bool": lambda x: x > 1,
    "one number": lambda x: x.sum(),
    "complex": lambda x: (x * (1 + 1j)).conj(),
    "sparse": lambda x: x.to_sparse(),
    "sparse rows": lambda x: x.to_sparse_csr(),
    "quantised": lambda x: torch.quantize_per_tensor(x, x[0, 0].item() + 0.5, 0, torch.quint8),
    "by channel": lambda x: torch.quantize_per_channel(
        torch.ones(2, 2), x[0] + 1, torch.zeros(2), 0, torch.qint8
    ),
    "without numbers": lambda x: torch.empty(int(x.sum()), device="meta"),
    "nested": lambda x: torch.nested.nested_tensor([x[0], x[1, :1]], layout=torch.jagged),
}


@pytest.mark.filterwarnings("ignore")  # kinds that are still being made say so
@pytest.mark.parametrize("kind", KINDS)
def test_checksums_of_tensors_of_every_kind(kind):
    first, second = torch.eye(2), torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    assert checksum(Odd(KINDS[kind](first))) == checksum(Odd(KINDS[kind](first.clone())))
    assert checksum(Odd(KINDS[kind](first))) != checksum(Odd(KINDS[kind](second)))


class Extra(nn.Module):
    """A module that keeps something beside tensors."""

    def __init__(self, held: Any) -> None:
        super().__init__()
        self.held = held

    def get_extra_state(self) -> Any:
        return self.held


@pytest.mark.parametrize(
    ("held", "other"),
    [
        ({"version": 3}, {"version": 4}),
        ([1, {"a": torch.ones(2)}], [1, {"a": torch.zeros(2)}]),
        ("text", "words"),
        (None, 0),
        (nn.Linear(1, 1), object()),
    ],
)
def test_checksums_of_what_is_no_tensor(held, other):
    assert checksum(Extra(held)) == checksum(Extra(held))
    assert checksum(Extra(held)) != checksum(Extra(other))


def test_checksums_of_ordinary_weights_are_those_of_their_bytes():
    net = nn.Linear(1, 1)
    with torch.no_grad():
        net.weight.fill_(1)
        net.bias.fill_(2)
    known = b"bias" + b"\0\0\0\x40" + b"weight" + b"\0\0\x80\x3f"
    assert checksum(net) == hashlib.sha256(known).hexdigest()
    assert checksum("no module") is None
