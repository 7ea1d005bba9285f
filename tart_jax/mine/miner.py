"""One block of training examples to mined ones: candidates, rules, the teacher, wrong kinds."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tart_jax.data.examples import DOCUMENT_FIELDS, TrainingExample, to_record
from tart_jax.data.instructions import Order, join
from tart_jax.data.lookup import ById
from tart_jax.data.splits import HeldOutTexts, text_hash
from tart_jax.mine import denoise, negatives, unfollowing
from tart_jax.mine.answers import Answers
from tart_jax.mine.candidates import Finder
from tart_jax.mine.denoise import Thresholds
from tart_jax.mine.negatives import Known, Rules
from tart_jax.search.scorer import PairScorer
from tart_jax.types import Document, InputError, Query, ScoredDocument

PAIR = "unfollowing: "  # begins the count of a task's negatives out of a corpus


@dataclass(frozen=True)
class Teacher:
    """A scorer of pairs, how queries are joined for it, and what its scores decide.

    thresholds: None: its scores are stored and relabel nothing.
    """

    scorer: PairScorer
    order: Order
    separator: str
    thresholds: Thresholds | None


@dataclass(frozen=True)
class Unfollowing:
    """Which corpora give unfollowing negatives to which task, and how many (TART: 20, 0.2, 10k)."""

    table: Mapping[str, tuple[str, ...]]
    k: int = 20
    share: float = 0.2
    per_pair: int = 10_000


@dataclass
class _Found:
    """One example on its way, with the candidates that are left and what its documents scored."""

    example: TrainingExample
    known: Known
    ranked: list[ScoredDocument]  # in the window
    retrieved: dict[str, float]
    hits: list[ScoredDocument] = field(default_factory=list)  # those that may be taken
    texts: dict[str, Document] = field(default_factory=dict)  # theirs
    wrong: list[tuple[str, Document]] = field(default_factory=list)  # corpus, in drawn order


def wording(wordings: Sequence[str], seed: int, query_id: str) -> str:
    """One of a task's wordings, drawn by (seed, query_id); "" of none."""
    place = text_hash(f"{seed} instruction {query_id}")
    return wordings[place % len(wordings)] if wordings else ""


class Miner:
    """Mines examples of one task at a time; `counts` says what became of the candidates.

    table: task -> wordings, one of which retriever and teacher read, drawn by (seed, query_id);
    an example's own instruction wins. documents: a task's corpus by id. keep: the example's own
    hard and unfollowing negatives stay beside the mined ones.
    """

    def __init__(
        self,
        finder: Finder,
        documents: Callable[[str], ById],
        rules: Rules,
        *,
        table: Mapping[str, Sequence[str]],
        instructed: bool = True,
        teacher: Teacher | None = None,
        unfollowing: Unfollowing | None = None,
        held_out: HeldOutTexts | None = None,
        keep: bool = False,
        seed: int = 0,
    ):
        self._finder, self._documents, self._rules = finder, documents, rules
        self._table, self._instructed, self._teacher = table, instructed, teacher
        self._unfollowing, self._held_out = unfollowing, held_out or HeldOutTexts()
        self._keep, self._seed = keep, seed
        self.counts = Counter[str]()
        self._ahead: dict[str, dict[Query, list[ScoredDocument]]] = {}

    def search(self, task: str, examples: Sequence[TrainingExample]) -> None:
        """Finds candidates for many examples at once, which `mine` then takes block by block.

        An index is read once for all of them: by 64 at a time it took six times as long.
        """
        self._ahead = {}
        searches = [(task, self._asked(examples), self._deepest(examples))]
        if rules := self._unfollowing:
            kinds = rules.table.get(task, ())
            searches += [(corpus, self._bare(examples), rules.k) for corpus in kinds]
        for corpus, queries, k in searches:
            found = zip(queries, self._finder(corpus, queries, k), strict=True)
            self._ahead.setdefault(corpus, {}).update(found)

    def mine(self, task: str, block: Sequence[TrainingExample]) -> list[dict[str, Any]]:
        """The examples' records with their mined negatives, in order."""
        found = self._candidates(task, block)
        if self._unfollowing is not None:
            self._wrong_kinds(task, found)
        scores = self._scores(found)
        return [
            self._mined(task, each, teacher) for each, teacher in zip(found, scores, strict=True)
        ]

    def instruction(self, example: TrainingExample) -> str:
        """What retriever and teacher are told."""
        if example.instruction is not None:
            return example.instruction
        return wording(self._table.get(example.task, ()), self._seed, example.query_id)

    def _asked(self, examples: Sequence[TrainingExample]) -> list[Query]:
        return [
            Query(e.query_id, e.query, self.instruction(e) if self._instructed else "")
            for e in examples
        ]

    def _bare(self, examples: Sequence[TrainingExample]) -> list[Query]:
        """Other kinds are searched for without an instruction, which names the task's own."""
        return [Query(e.query_id, e.query) for e in examples]

    def _deepest(self, examples: Sequence[TrainingExample]) -> int:
        """As many as are ranked, and room for the positives among them."""
        return self._rules.last_rank + max(len(example.positives) for example in examples)

    def _find(self, corpus: str, queries: list[Query], k: int) -> list[list[ScoredDocument]]:
        """Each query's best documents, at least k where there are as many."""
        ahead = self._ahead.get(corpus, {})
        if all(query in ahead for query in queries):
            return [ahead[query] for query in queries]
        return self._finder(corpus, queries, k)

    def _candidates(self, task: str, block: Sequence[TrainingExample]) -> list[_Found]:
        deepest = self._deepest(block)
        lists = self._find(task, self._asked(block), deepest)
        found = [self._ranked(*each) for each in zip(block, lists, strict=True)]
        # Only the best are kept of most queries: the texts of the others need not be read.
        best = self._rules.sampling == "top" and self._teacher is None
        step = 2 * self._rules.count if best else deepest
        for begin in range(0, deepest, max(step, 1)):
            open_ = [e for e in found if not best or len(e.hits) < self._rules.count]
            if not open_:
                break
            parts = [each.ranked[begin : begin + step] for each in open_]
            texts = self._texts(task, parts)
            for each, part in zip(open_, parts, strict=True):
                answers = Answers(each.example.answers if self._rules.answer_checked else ())
                kept = negatives.allowed(
                    part,
                    texts,
                    each.known,
                    self.counts,
                    held_out=self._holds,
                    answers=answers.held_by,
                )
                each.hits += kept
                each.texts |= {hit.doc_id: texts[hit.doc_id] for hit in kept}
        return found

    def _ranked(self, example: TrainingExample, every: Sequence[ScoredDocument]) -> _Found:
        """The example with the hits that ranks and scores allow; no text is looked at yet."""
        # Others in the block may have more positives, and so longer lists.
        hits = every[: self._rules.last_rank + len(example.positives)]
        known = Known(example.query, example.positives, self._rules.near_duplicate)
        own = [hit.score for hit in hits if hit.doc_id in known.ids]
        others = [hit for hit in hits if hit.doc_id not in known.ids]
        self.counts["candidates"] += len(hits)
        self.counts["positive"] += len(own)
        if len(own) < len(known.ids):
            # One that was not found may score anything below the last hit, or tie with it.
            own += [math.nextafter(hit.score, -math.inf) for hit in hits[-1:]]
        left = negatives.in_window(others, self._rules, own, self.counts)
        return _Found(example, known, left, {hit.doc_id: hit.score for hit in hits})

    def _wrong_kinds(self, task: str, found: Sequence[_Found]) -> None:
        """Draws as many as could be taken if every hard negative were found."""
        rules = self._unfollowing
        assert rules is not None
        queries = self._bare([each.example for each in found])
        pools: list[dict[str, list[ScoredDocument]]] = [{} for _ in found]
        texts: dict[str, Document] = {}
        for corpus in rules.table.get(task, ()):
            lists = self._find(corpus, queries, rules.k)
            texts |= self._texts(corpus, lists)
            for pool, each, hits in zip(pools, found, lists, strict=True):
                pool[corpus] = negatives.allowed(
                    hits, texts, each.known, Counter(), held_out=self._holds
                )
        for pool, each in zip(pools, found, strict=True):
            count = unfollowing.allowance(self._most(each.example), rules.share)
            query_id = each.example.query_id
            chosen = unfollowing.choose(pool, count, self._seed, query_id)
            each.wrong = [(corpus, texts[hit.doc_id]) for corpus, hit in chosen]

    def _most(self, example: TrainingExample) -> int:
        own = len(example.hard_negatives) if self._keep else 0
        return len(example.negatives) + own + self._rules.count

    def _scores(self, found: Sequence[_Found]) -> list[dict[str, float]]:
        """For each example doc_id -> the teacher's score of its documents and candidates."""
        if self._teacher is None:
            return [{} for _ in found]
        pairs, owners = [], []
        for place, each in enumerate(found):
            example, teacher = each.example, self._teacher
            asked = join(
                example.query,
                self.instruction(example),
                order=teacher.order,
                separator=teacher.separator,
            )
            documents = {d.doc_id: d for f in DOCUMENT_FIELDS for d in getattr(example, f)}
            documents |= each.texts
            documents |= {document.doc_id: document for _, document in each.wrong}
            pairs += [(asked, document.contents()) for document in documents.values()]
            owners += [(place, doc_id) for doc_id in documents]
        scores: list[dict[str, float]] = [{} for _ in found]
        for (place, doc_id), score in zip(owners, self._teacher.scorer.score(pairs), strict=True):
            scores[place][doc_id] = float(score)
        return scores

    def _mined(self, task: str, each: _Found, scores: dict[str, float]) -> dict[str, Any]:
        """The record of one example; a document that was retrieved says with which score."""
        example, hits, new = each.example, each.hits, list[ScoredDocument]()
        if self._teacher is not None and self._teacher.thresholds is not None:
            new, hits = denoise.relabel(hits, scores, self._teacher.thresholds, self.counts)
        hard = negatives.choose(hits, self._rules, self._seed, example.query_id, self.counts)
        texts, answers = each.texts, {hit.doc_id for hit in new}
        taken = answers | {hit.doc_id for hit in hard}
        kept = [d for d in example.hard_negatives if self._keep and d.doc_id not in taken]
        hard_documents = (*(texts[hit.doc_id] for hit in hard), *kept)
        taken |= {document.doc_id for document in kept}
        plain = tuple(d for d in example.negatives if d.doc_id not in taken)
        old_wrong = [
            d for d in example.unfollowing_negatives if self._keep and d.doc_id not in answers
        ]
        others = len(plain) + len(hard_documents)
        mined = replace(
            example,
            positives=(*example.positives, *(texts[hit.doc_id] for hit in new)),
            negatives=plain,
            hard_negatives=hard_documents,
            unfollowing_negatives=(*old_wrong, *self._chosen_wrong(task, each, others, old_wrong)),
            scores=scores or example.scores,
        )
        self.counts["hard negatives"] += len(hard)
        self.counts["new positives"] += len(new)
        record = to_record(mined)
        for name in DOCUMENT_FIELDS:
            for fields in record[name]:
                if fields["doc_id"] in each.retrieved:
                    fields["retrieved"] = each.retrieved[fields["doc_id"]]
        return record

    def _chosen_wrong(
        self, task: str, each: _Found, others: int, old: Sequence[Document]
    ) -> list[Document]:
        """The first of the draw that share and limit of each pair allow beside the `old` ones."""
        rules = self._unfollowing
        chosen: list[Document] = []
        if rules is None:
            return chosen
        room = max(0, unfollowing.allowance(others, rules.share) - len(old))
        known = {document.doc_id for document in old}
        for corpus, document in [w for w in each.wrong if w[1].doc_id not in known][:room]:
            pair = f"{PAIR}{task} < {corpus}"
            if self.counts[pair] < rules.per_pair:
                chosen.append(document)
                self.counts[pair] += 1
        return chosen

    def _holds(self, document: Document) -> bool:
        return any(self._held_out.holds(t) for t in {document.text, document.contents()})

    def _texts(self, task: str, lists: Sequence[Sequence[ScoredDocument]]) -> dict[str, Document]:
        wanted = list({hit.doc_id for hits in lists for hit in hits})
        texts = self._documents(task).many(wanted)
        for doc_id in wanted:
            if doc_id not in texts:
                raise InputError(
                    f"document {doc_id!r}, found for the task {task!r}, is not in its corpus; name"
                    " the corpus that was searched: --config.corpus."
                )
        return texts
