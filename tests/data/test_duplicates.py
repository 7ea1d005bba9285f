import random

import pytest

from tart_jax.data.duplicates import find_repeats, jaccard, shingles, words


def noisy_texts(count: int, base: list[list[str]], rng: random.Random) -> list[str]:
    """Texts of 1 to 30 words, each a base text with up to four words changed."""
    texts = []
    for _ in range(count):
        tokens = list(rng.choice(base))
        for _ in range(rng.randrange(5)):
            tokens[rng.randrange(len(tokens))] = rng.choice("abcdefgh")
        texts.append(" ".join(tokens))
    return texts


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.6, 0.8, 1.0])
def test_the_fast_search_finds_what_comparing_all_pairs_finds(threshold):
    rng = random.Random(0)
    base = [[rng.choice("abcdefgh") for _ in range(rng.randint(1, 30))] for _ in range(20)]
    texts, held_out = noisy_texts(80, base, rng), noisy_texts(80, base, rng)
    found = find_repeats(texts, held_out, threshold=threshold)
    known = [shingles(words(text)) for text in held_out]
    slow = {
        position
        for position, text in enumerate(texts)
        if any(jaccard(shingles(words(text)), each) >= threshold for each in known)
    }
    assert found.equal == {i for i, text in enumerate(texts) if text in set(held_out)}
    assert found.equal | found.near == slow
    # The broken twin: another threshold finds other texts, so the equality above says something.
    other = find_repeats(texts, held_out, threshold=0.45)
    assert other.equal | other.near != slow


def test_case_spaces_and_punctuation_do_not_hide_a_repeat():
    found = find_repeats(
        ["Join  two\npaths!", "split two paths"], ["join two paths"], threshold=0.8
    )
    assert found == ({0}, set())


def test_texts_without_words_are_compared_by_their_signs():
    assert find_repeats(["...", "---"], ["..."], threshold=0.8).equal == {0}
    assert find_repeats(["", "a"], [], threshold=0.8) == (set(), set())
