"""Writes the arrays that tests/losses compare with, computed by PyTorch's own losses.

Run where torch is installed; our package is not needed:

    python scripts/reference/make_loss_reference.py tests/losses/data

`losses.npz` holds random scores of 6 queries with 5 documents each, their masks and, for every
loss, `NAME/value` (per pair or query) and `NAME/grad` (of the sum of the values by the scores or
logits). Queries are computed one by one over their own documents, so no mask is involved.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

B, N, TEMPERATURE = 6, 5, 2.0


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    relevant = np.zeros((B, N), bool)
    relevant[:, 0] = True
    relevant[1, 3] = relevant[4, 1] = True  # two relevant documents
    valid = np.ones((B, N), bool)
    valid[2, 3:] = valid[3, 1:] = valid[4, 4] = False  # query 3 has its positive alone
    relevant[5] = False  # a query without any
    return {
        "scores": rng.normal(scale=3, size=(B, N)).astype(np.float32),
        "teacher": rng.normal(scale=3, size=(B, N)).astype(np.float32),
        "logits": rng.normal(scale=3, size=(B, N, 2)).astype(np.float32),
        "relevant": relevant & valid,
        "valid": valid,
    }


def pairs(row: torch.Tensor, relevant: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(scores of the relevant, scores of the others), each pair of them once."""
    one, other = torch.meshgrid(row[relevant], row[~relevant], indexing="ij")
    return one.flatten(), other.flatten()


def listwise(row, teacher, relevant):
    if not relevant.any():
        return 0 * row.sum()
    target = relevant / relevant.sum()
    return F.cross_entropy(row[None], target[None])


def pairwise(row, teacher, relevant):
    one, other = pairs(row, relevant)
    if not len(one):
        return 0 * row.sum()
    return F.binary_cross_entropy_with_logits(one - other, torch.ones_like(one))


def margin_mse(row, teacher, relevant):
    one, other = pairs(row, relevant)
    if not len(one):
        return 0 * row.sum()
    wanted, unwanted = pairs(teacher, relevant)
    return F.mse_loss(one - other, wanted - unwanted)


def kl(row, teacher, relevant):
    found, wanted = (F.log_softmax(x / TEMPERATURE, dim=0) for x in (row, teacher))
    return F.kl_div(found, wanted, reduction="sum", log_target=True) * TEMPERATURE**2


def by_query(loss: Callable, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    scores = torch.tensor(arrays["scores"], dtype=torch.float64, requires_grad=True)
    values = []
    for i, valid in enumerate(torch.tensor(arrays["valid"])):
        teacher = torch.tensor(arrays["teacher"][i], dtype=torch.float64)[valid]
        values.append(loss(scores[i][valid], teacher, torch.tensor(arrays["relevant"][i])[valid]))
    torch.stack(values).sum().backward()
    return torch.stack(values).detach().numpy(), scores.grad.numpy()


def pointwise(arrays: dict[str, np.ndarray], width: int) -> tuple[np.ndarray, np.ndarray]:
    logits = torch.tensor(arrays["logits"][..., :width], dtype=torch.float64, requires_grad=True)
    relevant = torch.tensor(arrays["relevant"])
    if width == 1:
        target = relevant.double()
        values = F.binary_cross_entropy_with_logits(logits[..., 0], target, reduction="none")
    else:
        values = F.cross_entropy(logits.reshape(-1, 2), relevant.flatten().long(), reduction="none")
        values = values.reshape(B, N)
    values.sum().backward()
    return values.detach().numpy(), logits.grad.numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    arrays = inputs()
    found = {
        "listwise": by_query(listwise, arrays),
        "pairwise": by_query(pairwise, arrays),
        "margin_mse": by_query(margin_mse, arrays),
        "kl_candidates": by_query(kl, arrays),
        "pointwise_one": pointwise(arrays, 1),
        "pointwise_two": pointwise(arrays, 2),
    }
    for name, (value, grad) in found.items():
        arrays |= {f"{name}/value": value, f"{name}/grad": grad}
    arrays |= {"temperature": np.float32(TEMPERATURE), "versions": np.str_(torch.__version__)}
    directory = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(directory / "losses.npz", **arrays)


if __name__ == "__main__":
    main()
