"""KILT's scores: the values that its own functions give, and its corners."""

import pytest

from tart_jax.evaluate import kilt
from tart_jax.types import InputError


def pages(*ids, **more):
    return {"provenance": [{"wikipedia_id": name} for name in ids], **more}


def scores(outputs, guess, **options):
    gold = [{"id": "x", "output": outputs}]
    return kilt.retrieval(gold, {"x": {"output": [guess]}}, **options)["x"]


THREE = [pages(1, 2), pages("5"), pages(7, 9, 11)]


def test_golden_values_of_a_long_guess():
    found = scores(THREE, pages(2, 5, "7 ", 33, 1, 9, 44, 88))
    assert found["Rprec"] == 0.5
    assert found["precision@1"] == 1 and found["precision@5"] == pytest.approx(0.4)
    assert found["recall@5"] == pytest.approx(2 / 3) and found["success_rate@5"] == 1
    assert "recall@1" not in found


def test_golden_values_of_a_short_guess():
    found = scores(THREE, pages(5))
    assert found["Rprec"] == 1 and found["precision@1"] == 1
    assert found["precision@5"] == pytest.approx(0.2)
    assert found["recall@5"] == pytest.approx(1 / 3) and found["success_rate@5"] == 1


def answers(golds, guesses, right):
    gold = [{"id": str(n), "output": [pages(1, answer=text)]} for n, text in enumerate(golds)]
    found = {
        str(n): {"output": [pages(1 if good else 2, answer=text)]}
        for n, (text, good) in enumerate(zip(guesses, right, strict=True))
    }
    return kilt.means(kilt.downstream(gold, found))


def test_golden_values_of_answers():
    found = answers(
        ["suicide", "suicide", "it was suicide"], ["suicide", "a suicide", "suicide"], [1, 0, 0]
    )
    assert found == pytest.approx(
        {"accuracy": 1 / 3, "em": 2 / 3, "f1": 0.8333333333333334, "rougel": 0.7222222178240741,
         "KILT-accuracy": 1 / 3, "KILT-em": 1 / 3, "KILT-f1": 1 / 3,
         "KILT-rougel": 0.3333333316666667},
        rel=1e-14,
    )  # fmt: skip


def test_r_precision_takes_the_best_output_and_duplicates_count_once():
    assert scores([pages(1, 2), pages(3)], pages(3, 1, 2))["Rprec"] == 1
    assert scores([pages(1, 2)], pages(1, 1, 2))["Rprec"] == 1
    assert scores([pages(1, 2)], pages(1, 3, 2))["Rprec"] == 0.5


def test_outputs_without_evidence():
    assert scores([{"answer": "x"}], pages(1)) == {
        name: 0.0 for name in scores([{"answer": "x"}], pages(1))
    }
    empty = scores([{"provenance": []}, pages(1)], pages(1))
    assert empty["Rprec"] == 1 and empty["recall@5"] == 0.5  # the empty set can not be found
    assert scores([pages(1)], pages())["Rprec"] == 0
    twice = scores([pages(1), pages(1)], pages(1))
    assert twice["recall@5"] == 1


def test_a_page_of_two_sets_counts_for_each():
    assert scores([pages(1), pages(1, 2)], pages(2, 1))["precision@5"] == pytest.approx(0.4)


def test_passages_are_pages_with_their_paragraph():
    gold = {"provenance": [{"wikipedia_id": 1, "end_paragraph_id": 4}]}
    near = {"provenance": [{"wikipedia_id": "1", "end_paragraph_id": "5"}]}
    assert scores([gold], near, keys=kilt.PASSAGE)["Rprec"] == 0
    assert scores([gold], near, keys=kilt.PAGE)["Rprec"] == 1
    same = {"provenance": [{"wikipedia_id": "1", "end_paragraph_id": "4"}]}
    assert scores([gold], same, keys=kilt.PASSAGE)["Rprec"] == 1


def test_an_empty_answer_scores_nothing_and_accuracy_knows_no_normalisation():
    found = answers(["Paris", "Paris", "The end."], ["", "paris", "end"], [1, 1, 1])
    assert found["accuracy"] == 0
    assert found["em"] == pytest.approx(2 / 3)


def test_a_prediction_that_kilt_would_refuse_is_refused():
    gold = [{"id": "x", "output": THREE}]
    with pytest.raises(InputError, match="exactly one output in a prediction, there are 0"):
        kilt.retrieval(gold, {})
    with pytest.raises(InputError, match="there are 2"):
        kilt.retrieval(gold, {"x": {"output": [pages(1), pages(2)]}})


def test_rouge_l_counts_words_once_and_sentences_apart():
    assert kilt.rouge_l("a b. c", "a b c") == pytest.approx(1, abs=1e-8)
    assert kilt.rouge_l("c b a", "a b c") == pytest.approx(1 / 3, abs=1e-8)
    assert kilt.rouge_l("x", "a b c") == 0
    assert kilt.rouge_l("a a a b", "a b") == pytest.approx(1, abs=1e-8)
