import dataclasses
from importlib import resources

import pytest

from tart_jax.data.berri import tasks
from tart_jax.data.berri.task import origins

# The paper's Table 5, with body-body, which only the official instruction file has.
NUMBERED = """
1 altlex
2 stackexchange_title_title
3 stackexchange_query_answer
4 yahoo_answers
5 msmarco
6 eli5
7 wikihow
8 searchqa
9 agnews
10 npr
11 codesearch_java
12 codesearch_ruby
13 codesearch_javascript
14 codesearch_go
15 paq
16 sentence_compression
17 cnn_dailymail
18 xsum
19 coco_captions
20 quora
21 ccnews
22 fever
23 hotpotqa
24 nq
25 triviaqa
26 wow_knowledge
27 wow_response
28 medical_simplification
29 scitldr
30 pubmedqa
31 medmcqa
32 gigaword
33 record
34 multilexsum
35 qrecc
36 oqa
37 squad
None stackexchange_body_body
"""


def test_the_table_holds_the_37_tasks_in_the_order_of_the_paper():
    found = [f"{task.number} {name}" for name, task in tasks.TASKS.items()]
    assert found == NUMBERED.split("\n")[1:-1]
    assert all(name == task.name for name, task in tasks.TASKS.items())


def test_every_module_with_tasks_is_in_the_table():
    folder = resources.files("tart_jax.data.berri")
    with_tasks = {
        file.name.removesuffix(".py")
        for file in folder.iterdir()
        if file.name.endswith(".py")
        and file.name != "tasks.py"
        and "\nTASKS" in file.read_text("utf-8")
    }
    assert with_tasks == {module.__name__.rpartition(".")[2] for module in tasks.MODULES}


def test_a_name_or_number_given_twice_is_refused():
    quora, nq = tasks.TASKS["quora"], tasks.TASKS["nq"]
    for twice in (quora, dataclasses.replace(nq, name="quora"), dataclasses.replace(nq, number=20)):
        with pytest.raises(ValueError, match="is given twice"):
            tasks.table((quora, twice))


def test_only_msmarco_has_no_cap():
    assert [name for name, task in tasks.TASKS.items() if task.cap is None] == ["msmarco"]
    assert {task.cap for name, task in tasks.TASKS.items() if name != "msmarco"} == {300_000}


def test_every_task_has_a_line_in_the_instruction_bank_and_an_origin():
    folder = resources.files("tart_jax.data.berri")
    rows = folder.joinpath("instructions.tsv").read_text("utf-8").splitlines()[1:]
    assert {row.split("\t")[0] for row in rows} == set(tasks.TASKS)
    assert set(origins()) == set(tasks.TASKS)
    for name, origin in origins().items():
        told = (origin.licence, origin.citation, origin.format, origin.manual)
        assert origin.files and all(text.strip() for text in told), name
