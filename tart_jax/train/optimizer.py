"""The optimizer and its schedule (reference: TART trains with AdamW, linear warm-up and decay)."""

from typing import Any

import jax
import optax

from tart_jax.types import InputError


def schedule(
    kind: str, *, peak_lr: float, warmup_steps: int, steps: int, end_lr_ratio: float
) -> optax.Schedule:
    """Learning rate by step: up to `peak_lr` in `warmup_steps`, then to peak_lr * end_lr_ratio.

    As TART's it starts at peak_lr * end_lr_ratio: with ratio 0 the first update changes nothing.
    """
    if not 0 <= warmup_steps < max(steps, 1):
        raise InputError(
            f"warmup_steps {warmup_steps} must be less than the {steps} steps of the run; lower"
            " --config.optimizer.warmup_steps or raise --config.steps."
        )
    end = peak_lr * end_lr_ratio
    rest = steps - warmup_steps
    after = {
        "linear": optax.linear_schedule(peak_lr, end, rest),
        "cosine": optax.cosine_decay_schedule(peak_lr, rest, alpha=end_lr_ratio),
        "constant": optax.constant_schedule(peak_lr),
    }
    if kind not in after:
        raise InputError(f"schedule {kind!r} is not one of {', '.join(after)}.")
    if not warmup_steps:
        return after[kind]
    warmup = optax.linear_schedule(end, peak_lr, warmup_steps)
    return optax.join_schedules([warmup, after[kind]], [warmup_steps])


def matrices_only(params: Any) -> Any:
    """True at matrices and embeddings, False at biases and norms, which are vectors.

    By name: in layers stacked for a scan they are vectors of each layer, and matrices in all.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: path[-1].key not in ("bias", "scale"), params
    )


def build(
    learning_rate: optax.Schedule,
    *,
    b1: float,
    b2: float,
    eps: float,
    weight_decay: float,
    decay_vectors: bool,
    clip_norm: float,
    skip: int = 0,
) -> optax.GradientTransformation:
    """AdamW, after clipping the gradient's global norm to `clip_norm` (0: no clipping).

    decay_vectors: whether biases and LayerNorm decay, too (TART: yes; DPR and most others: no).
    skip: so many updates in a row, at most, are left out where the gradient is no finite number;
    they move neither the schedule nor the moments.
    """
    mask = None if decay_vectors else matrices_only
    adamw = optax.adamw(learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=mask)
    clipped = optax.chain(optax.clip_by_global_norm(clip_norm), adamw) if clip_norm else adamw
    return optax.apply_if_finite(clipped, skip) if skip else clipped
