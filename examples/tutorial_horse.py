# %% [markdown]
# # What does the horse neuron respond to?
#
# The embedded network `mini` has an output neuron for horses. We ask which images give it an
# activation in a range, first a low one, then a high one. Everything here is in the package: no
# download, a few seconds on one CPU core.
#
# Three words first. The *network* is what we study. A *code* is a vector of 1,024 numbers. The
# *generator* turns each code into an image. invset searches codes whose images have the
# activation that we ask for.

# %%
from invset import InverseSetSampler, Neuron, Problem, Result, mini_generator, mini_network
from invset.analysis.diversity import vendi_score

network, generator = mini_network(), mini_generator()


def horses(z1: float, z2: float) -> Problem:
    """The horse neuron, with an activation from z1 to z2."""
    neuron = Neuron("fc8", "horse", range=(z1, z2))
    return Problem(network, generator, encoder="fc6", neurons=[neuron])


# %% [markdown]
# ## A low range
#
# Of 2,000 photographs that the network was not trained on, 83 % give this neuron less than 2. A
# range of 2 to 4 is a weak response.

# %%
low = InverseSetSampler(n=30).run(horses(2, 4), seed=0)
low.picture().save("horse-low.png")
print(low)

# %% [markdown]
# Few of these are horses. Some have something of a horse, such as brown fur or a body over grass;
# cars and boats are there, too.
#
# ## A high range
#
# The same question for 16 to 18. Of the 2,000 photographs 26 give 16 or more.

# %%
high = InverseSetSampler(n=30).run(horses(16, 18), seed=0)
high.picture().save("horse-high.png")
print(high)

# %% [markdown]
# Now nearly every image shows a horse: legs, a neck, a head. What the second set has and the
# first lacks is what the neuron responds to.
#
# ## Is it true?
#
# `activations` are measured again on the saved 8-bit images. All of them lie in the range. In a
# notebook, `high` as the last line of a cell shows the samples with their activations;
# `high.show()` opens them in a browser.

# %%
print(f"from {high.activations.min():.2f} to {high.activations.max():.2f}")
print(f"in range: {int(high.in_range.sum())} of {len(high)}")

# %% [markdown]
# ## Are they different?
#
# A set that shows one image thirty times says little. The Vendi score counts different samples:
# 30 if no two are alike, 1 if all are equal. It is measured in the encodings E, here layer fc6.
# `invset run` sets it beside real images in the same range.

# %%
for name, result in (("low", low), ("high", high)):
    print(f"{name}: {vendi_score(result.encodings):.1f} different samples of {len(result)}")

# %% [markdown]
# The high range is the narrower concept, and so its samples are more alike.
#
# ## Keep it
#
# `save` writes the images and everything else into a new folder, and `load` reads it back.

# %%
high.save("horse-high")
print(Result.load("horse-high") == high)

# %% [markdown]
# From the command line the same is `invset run network=mini neuron=horse z1=16 z2=18 n=30`, which
# also makes a page of figures and charts.
