# %% [markdown]
# # A regression on a table
#
# A network predicts the progression of diabetes, 25 to 346, from ten columns of a patient. Which
# patients does it put at 250 to 260? The rows are those of scikit-learn:
# `pip install "invset[tables]"`. The network and the generator of rows are trained on first use,
# in a few seconds, and kept in the cache folder.

# %%
from invset import InverseSetSampler, Neuron, Problem
from invset.nets.diabetes import (
    diabetes_generator,
    diabetes_network,
    diabetes_rows,
    diabetes_trees,
)

network, generator = diabetes_network(), diabetes_generator()
neuron = Neuron(network.output, "progression", range=(250, 260))
problem = Problem(network, generator, neurons=[neuron])

# %% [markdown]
# An *input* is a row of the table. A *code* has four numbers, and the generator, the decoder of
# an autoencoder, turns a code into a row. So the samples resemble real patients.
#
# ## The samples

# %%
result = InverseSetSampler(n=30).run(problem, seed=0)
result.picture(10).save("table-rows.png")
print(result)

# %% [markdown]
# A bar shows where a value lies between the smallest and the largest of its column. The first
# rows as numbers:

# %%
table = network.medium
print(" ".join(f"{name[:8]:>8}" for name in table.names))
for row in table.texts(result.inputs[:5]):
    print(" ".join(f"{cell[:5]:>8}" for cell in row))

# %% [markdown]
# ## What do they have in common?
#
# Compare the mean of each column with that of all real rows, in standard deviations of the real
# rows.

# %%
real, _ = diabetes_rows()
shift = (result.inputs.mean(0) - real.mean(0)) / real.std(0)
for name, value in sorted(zip(table.names, shift.tolist(), strict=True), key=lambda p: -abs(p[1])):
    print(f"{name:>11} {value:+.1f}")

# %% [markdown]
# The columns at the top are those that the network's high predictions go with.
#
# ## Does another model agree?
#
# The network that was searched is not the one to ask. Gradient-boosted trees, trained on the same
# rows, have no part in the search.

# %%
judge = diabetes_trees()
told = judge.module(result.inputs).flatten()
print(f"the network: {result.activations.min():.0f} to {result.activations.max():.0f}")
print(f"the trees:   {told.min():.0f} to {told.max():.0f}, mean {told.mean():.0f}")

# %% [markdown]
# The trees' mean is near, and their numbers scatter more widely than the range. What both models
# see in the samples is in the data; the rest is this network's own.
#
# From the command line the same is
# `invset run network=diabetes neuron=progression z1=250 z2=260 n=30 judge=diabetes_trees`. The
# page [A regression](../docs/regression.md) compares samplers, and shows a table of your own.
