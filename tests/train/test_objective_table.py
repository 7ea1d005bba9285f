"""The objectives by name: what is refused, and that each gets the options it reads."""

import pytest

from tart_jax.data import examples
from tart_jax.data.mixture import mix, open_sources
from tart_jax.train import objective_table
from tart_jax.types import InputError
from tests.train.conftest import scored_examples, training_examples

OPTIONS = dict(
    name="dual_contrastive", temperature=0.05, contrastive_weight=1.0, teaching="kl",
    teaching_weight=1.0, teaching_temperature=1.0, unfollowing_weight=1.0,
    chunk_size=0, score_block=0,
)  # fmt: skip


def test_the_usual_options_are_accepted_for_every_objective():
    for name in objective_table.OBJECTIVES:
        objective_table.check(**OPTIONS | {"name": name})
    objective_table.check(**OPTIONS | {"contrastive_weight": 0.0, "unfollowing_weight": 0.0})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"name": "cross"}, "objective.name 'cross' is not one of cross_listwise, cross_margin"),
        ({"teaching": "mse"}, "objective.teaching 'mse' is not one of kl, margin_mse"),
        ({"temperature": 0.0}, "objective.temperature is 0.0; 0.05 is usual"),
        ({"teaching_temperature": -1.0}, "objective.teaching_temperature is -1.0; 1 is usual"),
        ({"teaching_weight": -1.0}, "should be 0 or more and not both 0; they are 1.0 and -1.0"),
        ({"contrastive_weight": 0.0, "teaching_weight": 0.0}, "they are 0.0 and 0.0"),
        ({"unfollowing_weight": -0.5}, r"unfollowing_weight is -0.5; it should be 0 \(left out\)"),
        ({"unfollowing_weight": float("nan")}, "unfollowing_weight is nan"),
        ({"unfollowing_weight": float("inf")}, "unfollowing_weight is inf"),
        ({"chunk_size": -8}, "objective.chunk_size is -8; 0 takes all at once"),
        ({"score_block": 8, "name": "cross_listwise"}, "score_block is 8, .* of cross_listwise do"),
    ],
)
def test_options_that_no_objective_could_train_with_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        objective_table.check(**OPTIONS | change)


def mixture(path, made):
    examples.write(path, made)
    return mix(open_sources(str(path)), mixing="proportional")


def test_objectives_that_need_a_teacher_refuse_data_without_scores(tmp_path):
    plain = mixture(tmp_path / "plain.jsonl", training_examples(4))
    scored = mixture(tmp_path / "scored.jsonl", scored_examples(4))
    needing = {name for name, entry in objective_table.OBJECTIVES.items() if entry.scored}
    assert needing == {"dual_distill", "cross_margin_mse"}
    for name in objective_table.OBJECTIVES:
        objective_table.require_scores(name, scored)
        if name not in needing:
            objective_table.require_scores(name, plain)
            continue
        with pytest.raises(InputError, match=f"{name} learns .* example of 'pairs' has none"):
            objective_table.require_scores(name, plain)
