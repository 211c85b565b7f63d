"""The up-convolutional generator: shapes and the scale of its first weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toys import seeded

from invset.errors import InvsetError
from invset.nets.upconv import UpConv


@pytest.mark.parametrize(
    ("size", "hidden", "widths"),
    [
        (4, (), ()),
        (8, (10,), ((5, 4),)),
        (16, (10, 12), ((5, 4), (4, 4))),
        (64, (), ((6, 5), (5, 4), (4, 3), (3, 2))),
    ],
)
def test_shapes_and_range(size, hidden, widths):
    generator = UpConv(6, size, hidden, 3, widths).initialize(seeded())
    images = generator(torch.randn(5, 6, generator=seeded(1)))
    assert images.shape == (5, 3, size, size)
    assert images.min() >= 0
    assert images.max() <= 1


def test_layers_are_called_as_in_the_paper():
    names = [
        name
        for name, _ in UpConv(6, 16, (10, 12), 3, ((5, 4), (4, 4))).layers.named_children()
        if "relu" not in name
    ]
    assert names == [
        "defc7",
        "defc6",
        "defc5",
        "reshape",
        "deconv5",
        "conv5_1",
        "deconv4",
        "conv4_1",
        "image",
    ]


def test_size_must_fit_the_widths():
    with pytest.raises(InvsetError, match="= 8, not 32"):
        UpConv(6, 32, (), 3, ((5, 4),))


def test_activations_keep_their_scale_through_all_layers():
    generator = UpConv(64, 32, (96,), 24, ((24, 20), (20, 16), (16, 12))).initialize(seeded())
    rms = {}
    for name, layer in generator.layers.named_children():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            layer.register_forward_hook(
                lambda _m, _i, out, name=name: rms.update({name: float(out.square().mean().sqrt())})
            )
    with torch.no_grad():
        images = generator(torch.randn(32, 64, generator=seeded(1)))
    assert len(rms) == 9
    assert all(1 / 3 < value < 3 for value in rms.values()), rms
    assert 0.05 < float(images.std()) < 0.4  # neither flat grey nor black and white


def test_codes_of_any_scale_give_the_same_pictures():
    generator = UpConv(6, 8, (10,), 3, ((5, 4),)).initialize(seeded())
    codes = torch.randn(5, 6, generator=seeded(1))
    small = generator(codes)
    generator.code_scale.fill_(128)
    torch.testing.assert_close(generator(codes * 128), small)


def test_the_seed_decides_the_weights():
    first, again, other = (
        UpConv(6, 8, (10,), 3, ((5, 4),)).initialize(seeded(s)).state_dict() for s in (1, 1, 2)
    )
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["layers.image.weight"], other["layers.image.weight"])
