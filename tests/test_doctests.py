"""Every >>> example in the README, in docs/ and in the docstrings gives what it says.

In Markdown, examples are blocks fenced by ``` that hold >>>; all other text is left out. Every file
and every docstring starts with nothing imported, in an empty folder.
"""

from __future__ import annotations

import doctest
import importlib
import io
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import forwardpass

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md"))
)
FLAGS = doctest.ELLIPSIS
FENCE = re.compile(r"^( *)(```+|~~~+)(.*)$")


def examples_of(page: str) -> str:
    """The page with blank lines for all that is not an example, so that line numbers stay."""
    lines, block, fence = [], [], ""
    for line in page.splitlines():
        found = FENCE.match(line)
        if not fence:
            if found:
                fence, block = found[2], []
            lines.append("")
        elif found and found[2].startswith(fence) and not found[3].strip():
            keep = any(row.lstrip().startswith(">>>") for row in block)
            lines += [*(block if keep else [""] * len(block)), ""]
            fence = ""
        else:
            block.append(line)
    assert not fence, "a fenced block does not end"
    return "\n".join(lines) + "\n"


def run(test: doctest.DocTest) -> None:
    runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)
    report = io.StringIO()
    with np.printoptions():  # an example may change them
        failed, _ = runner.run(test, out=report.write, clear_globs=False)
    assert not failed, report.getvalue()


def modules() -> Iterator[str]:
    """Every module of the package but those that act when imported."""
    yield "forwardpass"
    for module in pkgutil.walk_packages(forwardpass.__path__, "forwardpass."):
        if not module.name.endswith("__main__"):
            yield module.name


@pytest.fixture
def fresh(tmp_path, monkeypatch, restore_threads) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", PAGES)
def test_page(page, fresh):
    text = examples_of((ROOT / page).read_text(encoding="utf-8"))
    test = doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, page, page, 0)
    run(test)


@pytest.mark.parametrize("name", list(modules()))
def test_docstrings(name, fresh):
    if ".plot" in name:
        pytest.importorskip("matplotlib")
    if name.startswith(("forwardpass.program.torch_", "forwardpass.program.aten")):
        pytest.importorskip("torch")
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs={}):
        test.globs = {"__name__": "__main__"}
        run(test)


def test_the_documentation_has_examples():
    """So that a change of the syntax or of the search cannot switch these tests off."""
    page = examples_of((ROOT / "docs" / "layers.md").read_text(encoding="utf-8"))
    assert len(doctest.DocTestParser().get_examples(page)) > 20
    found = doctest.DocTestFinder().find(forwardpass)
    assert sum(len(test.examples) for test in found) > 0


def test_a_wrong_example_fails():
    text = examples_of("text\n```python\n>>> 1 + 1\n3\n```\n```\n>>> 2\n2\n```\n")
    test = doctest.DocTestParser().get_doctest(text, {}, "page", "page", 0)
    assert [example.lineno for example in test.examples] == [2, 6]
    with pytest.raises(AssertionError, match="1 \\+ 1"):
        run(test)


def test_only_fenced_examples_count():
    text = examples_of(">>> 1\n2\n\n```python\nx = 1  # no prompt, not an example\n```\n")
    assert doctest.DocTestParser().get_examples(text) == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    """Relative links of the pages; no request is made for others."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target


def test_every_page_and_layer_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for path in ROOT.glob("docs/*.md"):
        assert path.name == "README.md" or f"({path.name})" in index
    layers = (ROOT / "docs" / "layers.md").read_text(encoding="utf-8")
    for name in forwardpass.nn.__all__:
        if name not in ("functional", "utils", "Module", "Parameter"):
            assert f"nn.{name}" in layers, name
