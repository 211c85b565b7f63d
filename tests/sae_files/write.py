"""Write a file of each kind of sparse autoencoder with its own package, and what the package
computes for a few inputs: ``python write.py PACKAGE`` in an environment that has the package.

Written with saev 0.1.0 (and of its repository the commit 3d73f1f, as saev5), dictionary-learning
0.1.0, overcomplete 0.3.0, and sae-lens 6.54.12. Weights are random.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
EXPECTED = HERE / "expected.safetensors"
UNITS = 6
FEATURES = 16


def inputs() -> torch.Tensor:
    return torch.randn(8, UNITS, generator=torch.Generator().manual_seed(0)) * 1.5 + 0.3


def random(module: torch.nn.Module) -> torch.nn.Module:
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=rng) * 0.4)
    return module


def place(name: str) -> Path:
    path = HERE / name
    path.parent.mkdir(exist_ok=True)
    return path


def saev() -> dict[str, torch.Tensor]:
    from saev import config, nn

    net = random(nn.SparseAutoencoder(config.SparseAutoencoder(d_vit=UNITS, exp_factor=3)))
    nn.dump(str(place("saev0/sae.pt")), net)
    return {"saev0/sae.pt": nn.load(str(place("saev0/sae.pt")))(inputs())[1]}


def saev5() -> dict[str, torch.Tensor]:
    from saev.nn import modeling as of

    found = {}
    kinds = {"relu": of.Relu(), "topk": of.TopK(top_k=4), "batchtopk": of.BatchTopK(top_k=4)}
    for name, kind in kinds.items():
        config = of.SparseAutoencoderConfig(d_model=UNITS, d_sae=FEATURES, activation=kind)
        net = random(of.SparseAutoencoder(config))
        if name == "batchtopk":
            net.activation.threshold.fill_(0.8)
        file = f"saev5_{name}/sae.pt"
        of.dump(str(place(file)), net)
        found[file] = of.load(str(place(file))).eval().encode(inputs()).f_x
    return found


def dictionary_learning() -> dict[str, torch.Tensor]:
    from dictionary_learning import dictionary as of
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK
    from dictionary_learning.utils import load_dictionary

    sizes = (UNITS, FEATURES)
    nets = [
        of.AutoEncoder(*sizes),
        of.AutoEncoderNew(*sizes),
        of.GatedAutoEncoder(*sizes),
        of.JumpReluAutoEncoder(*sizes),
        AutoEncoderTopK(*sizes, 4),
        BatchTopKSAE(*sizes, 4),
        MatryoshkaBatchTopKSAE(*sizes, 4, [4, 12]),
    ]
    found = {}
    for net in map(random, nets):
        kind = type(net).__name__
        if kind == "JumpReluAutoEncoder":
            net.threshold.data.abs_()
        if "Batch" in kind:
            net.threshold.fill_(0.9)
        file = place(f"dl_{kind}/ae.pt")
        torch.save(net.state_dict(), file)
        config = {"dict_class": kind, **({"k": 4} if "TopK" in kind else {})}
        file.with_name("config.json").write_text(json.dumps({"trainer": config}), encoding="utf-8")
        loaded, _ = load_dictionary(str(file.parent), "cpu")
        found[f"dl_{kind}/ae.pt"] = loaded.encode(inputs())
    return found


def overcomplete() -> dict[str, torch.Tensor]:
    from overcomplete.sae import SAE, JumpSAE, TopKSAE

    nets = {
        "relu": SAE(UNITS, FEATURES),
        "bn": SAE(UNITS, FEATURES, encoder_module="mlp_bn_1"),
        "topk": TopKSAE(UNITS, FEATURES, top_k=4),
        "jump": JumpSAE(UNITS, FEATURES),
        "untied": SAE(UNITS, FEATURES).untied(bias=True),
    }
    found = {}
    for name, net in nets.items():
        random(net).train()
        for _ in range(20):  # of batch norms the statistics
            net(torch.randn(256, UNITS) * 2 + 0.5)
        net.eval()
        torch.save(net.state_dict(), place(f"oc_{name}.pt"))
        found[f"oc_{name}.pt"] = net.encode(inputs())[1]
    return found


def sae_lens() -> dict[str, torch.Tensor]:
    from sae_lens import SAE
    from sae_lens.saes import gated_sae, jumprelu_sae, standard_sae, topk_sae

    def standard(**options: object) -> torch.nn.Module:
        config = standard_sae.StandardSAEConfig(UNITS, FEATURES, **options)
        return standard_sae.StandardSAE(config)

    def topk(**options: object) -> torch.nn.Module:
        return topk_sae.TopKSAE(topk_sae.TopKSAEConfig(UNITS, FEATURES, k=4, **options))

    nets = {
        "standard": standard(),
        "standard_ln": standard(normalize_activations="layer_norm", apply_b_dec_to_input=False),
        "standard_rescale": standard(normalize_activations="constant_norm_rescale"),
        "jumprelu": jumprelu_sae.JumpReLUSAE(jumprelu_sae.JumpReLUSAEConfig(UNITS, FEATURES)),
        "topk": topk(),
        "topk_norm": topk(rescale_acts_by_decoder_norm=True),
        "gated": gated_sae.GatedSAE(gated_sae.GatedSAEConfig(UNITS, FEATURES)),
    }
    found = {}
    for name, net in nets.items():
        file = place(f"sl_{name}/sae_weights.safetensors")
        random(net).save_model(file.parent)
        found[f"sl_{name}/sae_weights.safetensors"] = SAE.load_from_disk(file.parent).encode(
            inputs()
        )
    return found


if __name__ == "__main__":
    kept = load_file(EXPECTED) if EXPECTED.exists() else {}
    made = {name: one.detach().float() for name, one in globals()[sys.argv[1]]().items()}
    save_file({**kept, "inputs": inputs(), **made}, EXPECTED)
