"""Imports: what `import kvorum` costs, what headless verbs never load, what the terminal may
see.
"""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kvorum.cli import VERBS
from support.sources import PACKAGES, TOP, package_modules, tree, where

# Each costs tens to hundreds of milliseconds, or needs a terminal.
HEAVY = ("aiohttp", "asyncio", "betterproto2", "click", "cryptography", "duckdb", "grpclib")
TERMINAL = ("textual", "rich", "kvorum_tui")
TERMINAL_VERBS = {"tui"}
# What kvorum_tui may import of the rest (design, floor rule 4), and the bounds both sides share.
SEEN_BY_TERMINAL = {
    "kvorum.check",
    "kvorum.client",
    "kvorum.drill",
    "kvorum.errors",
    "kvorum.files",
    "kvorum.history",
    "kvorum.limits",
}


def loaded_by(code: str) -> set[str]:
    """The top packages in ``sys.modules`` after ``code`` ran in a fresh Python."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_import_kvorum_imports_nothing_heavy() -> None:
    assert not loaded_by("import kvorum") & {*HEAVY, *TERMINAL}


def test_help_imports_no_verb() -> None:
    code = "import kvorum.cli, click.testing as t; t.CliRunner().invoke(kvorum.cli.cli, ['--help'])"
    assert not loaded_by(code) & {"duckdb", "grpclib", "betterproto2", *TERMINAL}


@pytest.mark.parametrize("module", sorted({entry[0] for entry in VERBS.values()}))
def test_a_headless_verb_never_loads_the_terminal(module: str) -> None:
    if any(VERBS[verb][0] == module for verb in TERMINAL_VERBS):
        assert importlib.util.find_spec(module) is not None
        return
    assert not loaded_by(f"import {module}") & set(TERMINAL)


@pytest.mark.parametrize("name", ["Client", "KvorumError", "UnknownOutcome"])
def test_the_public_names_resolve(name: str) -> None:
    assert not loaded_by(f"from kvorum import {name}") & set(TERMINAL)


def imported_names(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """Every module a file imports, as fully as it says."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = node.module or ""
            if module == "kvorum":
                yield from ((node, f"kvorum.{alias.name}") for alias in node.names)
            else:
                yield node, module


def test_the_terminal_sees_the_node_as_a_client_does() -> None:
    public = {"kvorum.Client", "kvorum.KvorumError", "kvorum.UnknownOutcome", "kvorum.__version__"}
    assert [
        f"{where(path, node)}: {name}"
        for path in package_modules("kvorum_tui")
        for node, name in imported_names(path)
        if name.partition(".")[0] == "kvorum"
        and ".".join(name.split(".")[:2]) not in SEEN_BY_TERMINAL | public
    ] == []


def test_every_contract_has_a_reason_above_it() -> None:
    lines = (TOP / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    contracts = [i for i, text in enumerate(lines) if text == "[[tool.importlinter.contracts]]"]
    assert len(contracts) >= 8
    for i in contracts:
        assert lines[i - 1].startswith("# "), f"pyproject.toml:{i + 1}: no reason above"


def contracts() -> list[dict[str, Any]]:
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
    return list(project["tool"]["importlinter"]["contracts"])


def test_the_contracts_cover_every_room() -> None:
    """A room that comes into being joins the contracts that are about it."""
    top = PACKAGES["kvorum"]
    inits = [p for p in package_modules("kvorum") if p.name == "__init__.py"]
    rooms = {p.parent.name for p in inits if p.parent.parent == top}
    below_verbs = rooms - {"cli", "kvorum", "cluster"}
    by_name = {contract["name"].partition(":")[0]: contract for contract in contracts()}
    assert {f"kvorum.{room}" for room in below_verbs} <= {*by_name["Command"]["source_modules"]}
    for floor in ("raft", "machine", "replica", "check"):
        if floor in rooms:
            assert f"kvorum.{floor}" in by_name["Purity"]["source_modules"]
    if "check" in rooms:
        judge = by_name["Judge"]
        assert judge["source_modules"] == ["kvorum.check"]
        assert {"kvorum.machine", "kvorum.raft", "kvorum.replica"} <= {*judge["forbidden_modules"]}
    assert by_name["Floors"]["layers"][-1] == "kvorum.raft | kvorum.machine"


def test_the_import_contracts_hold() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(command), "--no-logo"], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
