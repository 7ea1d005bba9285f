"""The notebook and its script say the same, and the script's story runs in its quick form."""

import os
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"


def cells(path):
    return [(cell.cell_type, cell.source) for cell in jupytext.read(path).cells]


def test_notebook_and_script_are_the_same():
    assert cells(NOTEBOOKS / "quickstart.ipynb") == cells(NOTEBOOKS / "quickstart.py")


def test_notebook_has_at_most_15_cells():
    assert len(cells(NOTEBOOKS / "quickstart.py")) <= 15


@pytest.mark.slow
def test_notebook_runs_in_its_quick_form(tmp_path):
    environment = os.environ | {"TART_JAX_QUICK": "1", "TART_JAX_WORKDIR": str(tmp_path / "run")}
    code = (
        "import jupytext, nbclient, sys\n"
        f"notebook = jupytext.read({str(NOTEBOOKS / 'quickstart.ipynb')!r})\n"
        "nbclient.NotebookClient(notebook, timeout=900, kernel_name='python3').execute()\n"
        "outputs = [o for cell in notebook.cells for o in cell.get('outputs', [])]\n"
        "assert sum('image/png' in o.get('data', {}) for o in outputs) == 2\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "report.md").is_file()
