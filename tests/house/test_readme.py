"""The README and its kin: what they tell people to type exists, their tables are fresh, their
links lead somewhere.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from kvorum.cli import cli
from kvorum.cluster.file import read_cluster_file
from kvorum_proto.services import SERVICES
from support import readme
from support.sources import PACKAGES, TOP, files, text, tree

PAGES = [path for path in files() if path.suffix == ".md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
# A place in the code as the tour names it: `kvorum/replica/replica.py:Replica.handle`.
PLACE = re.compile(r"`((?:kvorum|kvorum_tui|kvorum_proto)/[\w/]+\.py)(?::([\w.]+))?`")
# The same as a link: [`Replica.handle_all`](kvorum/replica/replica.py).
LINKED = re.compile(r"\[`([\w.]+)`\]\(([\w./]+\.py)\)")
WORKING_WITH = ("pip install .", "kvorum demo", "pip install -e '.[dev]'", "python tests/check.py")


def name_of(path: Path) -> str:
    return path.relative_to(TOP).as_posix()


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """The code blocks of a page in these languages ("" for a block without one)."""
    for match in BLOCK.finditer(text(page)):
        if match[1] in languages:
            yield match[2]


def commands(page: Path) -> Iterator[list[str]]:
    """Every ``kvorum ...`` line of a page's shell blocks, in words."""
    for block in blocks(page, "sh", ""):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["kvorum"]:
                yield words[1:]


def complaint(words: list[str]) -> str | None:
    """What is wrong with a command line: an unknown verb or an unknown option."""
    command: click.Command = cli
    context = click.Context(command)
    while words and isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        if found is None:
            return f"no such verb: {words[0]}"
        command, words = found, words[1:]
    if command.ignore_unknown_options or command.name == "serve":
        return None
    known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("-") and len(option) > 1 and option not in known:
            return f"{command.name} has no option {option}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_it_names_exists(page: Path) -> None:
    assert [(words, why) for words in commands(page) if (why := complaint(words))] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [
        link
        for link in LINK.findall(text(page))
        if "://" not in link and not (page.parent / link).exists()
    ] == []


def defined_in(module: ast.Module) -> set[str]:
    """The names a module defines, those inside classes with the class's in front."""
    names: set[str] = set()
    waiting: list[tuple[str, ast.stmt]] = [("", node) for node in module.body]
    while waiting:
        prefix, node = waiting.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(prefix + node.name)
            waiting += [(f"{prefix}{node.name}.", inner) for inner in node.body]
        elif isinstance(node, ast.Assign):
            names |= {prefix + t.id for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(prefix + node.target.id)
    return names


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_place_in_the_code_exists(page: Path) -> None:
    missing = []
    for file, name in PLACE.findall(text(page)):
        package, _, rest = file.partition("/")
        path = PACKAGES[package] / rest
        if not path.is_file() or (name and name not in defined_in(tree(path))):
            missing.append(f"{file}:{name}")
    for name, file in LINKED.findall(text(page)):
        if name not in defined_in(tree((page.parent / file).resolve())):
            missing.append(f"{file}:{name}")
    assert missing == []


def test_the_tables_are_fresh() -> None:
    page = (TOP / "README.md").read_text(encoding="utf-8")
    assert readme.filled(page) == page, "run: python tests/support/readme.py"
    for name in readme.TABLES:
        assert f"<!-- {name}: " in page


def test_the_two_commands_are_those_that_ci_runs() -> None:
    page = "\n".join(blocks(TOP / "README.md", "sh"))
    ci = (TOP / ".ci" / "run").read_text(encoding="utf-8")
    for command in WORKING_WITH:
        assert command in page
    assert re.search(r"pip\" install --quiet \.$", ci, re.MULTILINE)
    assert "pip install --quiet -e '.[dev]'" in ci
    assert "python tests/check.py" in ci


def test_the_cluster_file_is_one(tmp_path: Path) -> None:
    (block,) = blocks(TOP / "README.md", "toml")
    (tmp_path / "keys.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "cluster.toml").write_text(block, encoding="utf-8")
    spec = read_cluster_file(tmp_path)
    assert [node.name for node in spec.nodes] == ["a", "b", "c"]


def test_the_check_finds_wrong_commands() -> None:
    assert complaint(["up", "three", "--fresh"]) is None
    assert complaint(["upp", "three"]) == "no such verb: upp"
    assert complaint(["up", "three", "--fast"]) == "up has no option --fast"


def test_the_tour_has_every_method() -> None:
    """The table of methods names each method of each service that clients may call."""
    page = text(TOP / "node" / "README.md")
    table = page[page.index("## The methods") : page.index("## Where things are kept")]
    missing = [
        method.path
        for service, methods in SERVICES.items()
        if service != "kvorum.v1.Peer"
        for method in methods
        if not re.search(rf"`(\w+/)?{method.name}`", table)
    ]
    assert missing == []
