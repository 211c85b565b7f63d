"""Options of `runtime:` and what is wrong with others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from omegaconf import DictConfig, open_dict

from invset.config import build
from invset.config.compose import compose
from invset.config.validate import check_components, check_config
from invset.errors import InvsetError
from invset.problem.runtime import Runtime


def test_the_defaults_are_exact() -> None:
    assert (
        Runtime.of(None)
        == Runtime.of({})
        == Runtime()
        == Runtime("off", False, False, "auto", "auto", False)
    )
    assert Runtime().exact
    assert Runtime.of({"autocast": False}) == Runtime()  # YAML reads off as false
    assert not Runtime(autocast="bf16").exact
    assert not Runtime(autocast="tf32").exact


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"autocast": "fp16"}, "runtime.autocast must be off, bf16 or tf32, not 'fp16'"),
        ({"autocast": True}, "must be off, bf16 or tf32"),
        (
            {"compile": "yes"},
            "runtime.compile must be true or false, not yes; for example runtime.compile=true",
        ),
        ({"cuda_graphs": 1}, "runtime.cuda_graphs must be true or false"),
        (
            {"channels_last": "never"},
            "runtime.channels_last must be auto, true or false, not 'never'",
        ),
        *[
            (
                {"micro_batch": bad},
                "runtime.micro_batch must be auto or a whole number of at least 1, or null",
            )
            for bad in (0, -1, 2.5, True, "all")
        ],
        ({"cuda_graphs": True, "compile": True}, "records a whole step"),
        ({"cuda_graphs": True, "micro_batch": 4}, "records a whole step"),
        (
            {"compiled": True},
            r"there is no runtime\.compiled\. Did you mean compile\? There are autocast, compile",
        ),
        ("bf16", "type for example runtime.autocast=bf16"),
    ],
)
def test_bad_options_are_refused(options: Any, message: str) -> None:
    with pytest.raises(InvsetError, match=message):
        Runtime.of(options)


@pytest.mark.parametrize("options", [{"autocast": "tf32"}, {"cuda_graphs": True}])
def test_what_needs_cuda_says_so_elsewhere(options: dict[str, Any]) -> None:
    Runtime.of(options).check_device(torch.device("cuda:1"))
    with pytest.raises(InvsetError, match="needs CUDA, not cpu; type runtime"):
        Runtime.of(options).check_device(torch.device("cpu"))


def configured(*words: str) -> DictConfig:
    return compose("run", ["network=mini", "neuron=horse", "z1=4", "z2=6", "device=cpu", *words])


def test_the_command_takes_them() -> None:
    cfg = configured("runtime.autocast=bf16", "runtime.micro_batch=3")
    check_config(cfg)
    problem = build.problem(cfg)
    assert problem.runtime == Runtime(autocast="bf16", micro_batch=3)
    assert not problem.target(problem.region()).exact
    with open_dict(cfg):
        del cfg.runtime  # a run of an earlier version goes on
    check_config(cfg)
    assert build.problem(cfg).runtime == Runtime()
    with pytest.raises(InvsetError, match=r"runtime\.autocast must be off"):
        check_components(configured("runtime.autocast=half"))
