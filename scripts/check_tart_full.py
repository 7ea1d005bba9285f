"""Does an imported TART-full follow instructions? Two documents, one question, two instructions.

    python scripts/check_tart_full.py DIRECTORY

DIRECTORY: facebook/tart-full-flan-t5-xl or facebook/tart-full-t0-3b, downloaded. The question asks
for Tokyo's population; one document answers it, the other asks the same. The instruction to find
an answer must bring the first to the top, the instruction to find a duplicate the second (after
the example in the README of TART's code). Prints the scores; exit status 1 if another one wins.
"""

import argparse
import sys

from tart_jax import Reranker
from tart_jax.types import Document

QUERY = "What is the population of Tokyo?"
DOCUMENTS = [
    Document(
        "p_1",
        "Tokyo, the capital of Japan, had about 14 million inhabitants in 2021, some fifty thousand"
        " fewer than in the year before: the first decline in a quarter of a century.",
    ),
    Document("q_1", "How many people live in Tokyo?"),
]
WINNERS = {
    "retrieve a passage that answers this question from Wikipedia": "p_1",
    "You need to find duplicated questions in Wiki forum. Could you find a question that is similar"
    " to this question": "q_1",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", help="of the model")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    reranker = Reranker.load(options.directory, dtype=options.dtype)
    wrong = 0
    for instruction, winner in WINNERS.items():
        hits = reranker.rank(QUERY, DOCUMENTS, instruction=instruction)
        right = hits[0].doc_id == winner
        wrong += not right
        print(f"{'ok  ' if right else 'FAIL'} {instruction!r}: {winner} should win")
        for hit in hits:
            print(f"     {hit.doc_id} {hit.score:9.4f}  {hit.document.text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
