# %% [markdown]
# # A feature of a sparse autoencoder in a ViT
#
# A sparse autoencoder (SAE) writes the activations of a layer as a sum of few *features*. A feature
# has an activation, so it has an inverse set. Here everything is made on the spot, in half a minute
# of one CPU core: the ViT, its SAE, and the samples. It takes `pip install "invset[timm]"`, and
# nothing is downloaded.
#
# ## A small ViT
#
# No package brings the weights of a vision transformer, so we train one of timm. Its pictures are
# digits that the embedded generator `mnist` draws. Its teacher is the embedded network `mnist`: the
# ViT learns to give the teacher's ten outputs.

# %%
import json
from collections import Counter
from pathlib import Path

import torch
from safetensors.torch import save_file
from timm.models import VisionTransformer
from torch.nn import functional as F
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from invset import (
    Image8Bit,
    InverseSetSampler,
    Network,
    Neuron,
    Problem,
    mini_generator,
    mini_network,
)
from invset.files.sae import read_sae

teacher, generator = mini_network(name="mnist"), mini_generator(name="mnist")
count, steps, steps_of_sae = 4000, 600, 1000  # less is quicker
rng = torch.Generator().manual_seed(0)
region = Problem(teacher, generator, neurons=[Neuron("fc8", "zero")]).region("natural")
with torch.no_grad():
    digits = generator(region.decode(region.sample(count, rng)))
    asked = teacher.taps(digits, ["fc8"])["fc8"]

torch.manual_seed(0)  # timm draws a module's first weights from torch's global generator
vit = VisionTransformer(
    img_size=28, patch_size=7, in_chans=1, num_classes=10, embed_dim=64, depth=2, num_heads=4
)
optimizer = torch.optim.AdamW(vit.parameters(), lr=2e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
for _ in range(steps):
    some = torch.randint(count - 500, (64,), generator=rng)
    loss = F.mse_loss(vit(digits[some]), (asked[some] - asked.mean(0)) / asked.std())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
network = Network(
    vit.eval(), name="vit", medium=Image8Bit(1, (28, 28)), labels=teacher.labels, prefix_tokens=1
)
with torch.no_grad():
    agree = (vit(digits).argmax(1) == asked.argmax(1))[-500:].float().mean()
print(f"same first guess as the teacher's, on digits that it has not seen: {agree:.0%}")

# %% [markdown]
# It agrees with its teacher on 54 %, where chance gives about 10 %. So it is a weak network. Many
# drawn digits are also between two classes.
#
# ## Its sparse autoencoder
#
# The layer is `blocks.0`, the output of the first block: a class token and 16 patches of 7×7
# pixels, each with 64 numbers. The SAE has 128 features. Its loss is the squared error, and the sum
# of the features' activations, which keeps most of them at zero.

# %%
layer = "blocks.0"
with torch.no_grad():
    tokens = network.taps(digits, [layer])[layer]
x = tokens.flatten(0, 1)
spread = x.var(0).sum()
decoder = F.normalize(torch.randn(128, 64, generator=rng), dim=1)
sae = {"W_enc": decoder.T.clone(), "b_enc": torch.zeros(128), "W_dec": decoder, "b_dec": x.mean(0)}
optimizer = torch.optim.Adam([one.requires_grad_() for one in sae.values()], lr=3e-3)
for _ in range(steps_of_sae):
    batch = x[torch.randint(len(x), (512,), generator=rng)]
    on = F.relu((batch - sae["b_dec"]) @ sae["W_enc"] + sae["b_enc"])
    error = (on @ sae["W_dec"] + sae["b_dec"] - batch).square().sum(1).mean() / spread
    strength = (on * sae["W_dec"].norm(dim=1)).sum(1).mean() / spread.sqrt()
    optimizer.zero_grad()
    (error + 0.5 * strength).backward()
    optimizer.step()
print(f"{1 - error:.0%} of the variance with {(on > 0).sum(1).float().mean():.0f} features a token")

# %% [markdown]
# The file is one of sae_lens: the weights, and beside them what they are. invset reads files of
# sae_lens, saev, dictionary_learning and overcomplete ([networks](../docs/networks.md)).

# %%
Path("sae").mkdir(exist_ok=True)
weights = {name: one.detach().contiguous() for name, one in sae.items()}
save_file(weights, "sae/sae_weights.safetensors")
about = {"architecture": "standard", "d_in": 64, "d_sae": 128, "apply_b_dec_to_input": True}
Path("sae/cfg.json").write_text(json.dumps(about), encoding="utf-8")
encoder = read_sae("sae")

# %% [markdown]
# ## A feature
#
# A feature is worth a look if it is on in few pictures, and strong there. Of those that are on
# somewhere in a quarter of the digits at most we take the strongest. The range goes from the median
# of its activations there to their 90 % quantile.

# %%
with torch.no_grad():
    on = F.relu((tokens - sae["b_dec"]) @ sae["W_enc"] + sae["b_enc"]).amax(1)  # of all tokens
    share = (on > 0).float().mean(0)
    strength = (on.square().mean(0) / share.clamp(min=0.01)).sqrt() * sae["W_dec"].norm(dim=1)
number = int((strength * (share < 0.25)).argmax())
values = on[:, number]
z1, z2 = values[values > 0].quantile(torch.tensor([0.5, 0.9])).tolist()
print(f"feature {number}, on in {share[number]:.0%} of the digits; range {z1:.2f} to {z2:.2f}")
such = (values >= z1) & (values <= z2)
to_pil_image(make_grid(digits[such][:30], 10, 4)).save("sae-drawn.png")

# %% [markdown]
# These are drawn digits with such an activation, as they happen to come.
#
# ## Its inverse set
#
# The neuron is the feature, at the token where it is largest.

# %%
feature = encoder.feature(number)
neuron = Neuron(layer, None, feature=feature, position="max", range=(z1, z2))
problem = Problem(network, generator, neurons=[neuron])
result = InverseSetSampler(n=30).run(problem, seed=0)
result.picture().save("sae-samples.png")
print(result)

# %% [markdown]
# ## What do the samples have in common?
#
# First, where in the picture the feature is largest: 0 is the class token, 1 to 4 the patches of
# the first row. Then, which digits the teacher sees, in the samples and among all that were drawn.

# %%
images = problem.medium.restore(result.inputs)
with torch.no_grad():
    places = feature.value(network.taps(images, [layer])[layer]).argmax(1)
    guesses = teacher.taps(images, ["fc8"])["fc8"].argmax(1)
print("tokens:", Counter(places.tolist()).most_common(4))
print("samples:", Counter(teacher.labels[one] for one in guesses).most_common(4))
print("drawn:  ", Counter(teacher.labels[one] for one in asked.argmax(1)).most_common(4))

# %% [markdown]
# The samples share no class and no shape. More of them share a place: in 20 of 30 the feature is
# largest in the last column of patches (tokens 12 and 16). So this feature is no digit, and not a
# stroke either. That is what the pictures can say of it.
#
# All of this holds for this ViT, this SAE and this generator. A trained network and a published SAE
# are asked in the same way, from Python or by a command:
# `invset run network=timm network.name=vit_base_patch14_dinov2 layer=blocks.10 sae=sae.pt feature=7
# position=max z1=2 z2=3`. `invset probe` with the same words, but no `feature=`, tells which
# features are on. The page frames the patch of each sample where the feature is largest.
