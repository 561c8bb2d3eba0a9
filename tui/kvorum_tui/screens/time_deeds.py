"""What the Time tab writes: keys back from the dead, a prefix as it was, B as A; and files.

Nothing can be written while one looks at the past; so these come back to now by themselves, show
their plan, and go back to where one stood when it is not wanted.
"""

from __future__ import annotations

import asyncio
import json
from abc import abstractmethod
from base64 import b64encode
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvorum.client.planning import Planned

from kvorum_tui.model import words
from kvorum_tui.model.compare import Comparison, Difference, counts_text, parse_side
from kvorum_tui.model.decode import key_from_text, key_to_text, printable
from kvorum_tui.model.plan import MAX_KEYS, planned
from kvorum_tui.model.time_heat import svg
from kvorum_tui.model.time_place import clock_text
from kvorum_tui.screens.key_plan import run_plan
from kvorum_tui.screens.pane import READ_ONLY
from kvorum_tui.screens.time_heat import RAMP
from kvorum_tui.screens.time_merge import Side, compare, etcdctl_line, restoring, undeleting
from kvorum_tui.screens.time_scrub import TimeScrub
from kvorum_tui.widgets.dialogs import Field, Form

if TYPE_CHECKING:
    from kvorum_tui.screens.time_compare import CompareView
    from kvorum_tui.screens.time_heat import HeatList
    from kvorum_tui.screens.time_views import GoneList
    from kvorum_tui.screens.workspace import Workspace

SIDE_HINT = "[CLUSTER#]PREFIX[@REVISION], @A, @B; without @ it is now"
FORMS = {".json": "JSON", ".txt": "text", ".sh": "etcdctl script"}


class TimeDeeds(TimeScrub):
    """Actions of the Time tab that change something, and those that write files."""

    planning = False
    view: str
    gone: GoneList
    compare: CompareView
    heat: HeatList

    @abstractmethod
    def show_view(self, view: str) -> None:
        """The subclass's."""

    def why_no_deed(self, name: str) -> str:
        """Why one of these cannot be done now."""
        if name == "time_undelete":
            chosen = self.gone.chosen()
            if not chosen:
                return "no deleted key is chosen"
            if not any(gone.last for gone in chosen):
                return "its last value is compacted away"
        if name == "time_roll_back" and not self.line.place:
            return "you look at now; go to the revision that it shall be as ([ or g)"
        if name in ("time_restore", "time_swap"):
            if self.compare.a is None or self.compare.b is None:
                return "nothing is compared yet (c)"
            if self.compare.running:
                return "the comparison is not finished"
            if name == "time_restore" and self.compare.b.session.read_only:
                return READ_ONLY
            if name == "time_restore" and not self.compare.tree_list.comparison.kept:
                return "there is no difference"
        if name == "time_export" and self.view == "compare" and self.compare.a is None:
            return "nothing is compared yet (c)"
        return ""

    # --- plans ------------------------------------------------------------------------------------

    async def _planned(
        self, work: Coroutine[Any, Any, Planned], title: str, verb: str, kv: Workspace, **more: Any
    ) -> None:
        """Make a plan, come back to now, run it; back to the past when it is not wanted."""
        self.planning = True
        try:
            made = await work
        finally:
            self.planning = False
        if not made.steps:
            whys = sorted({left.why for left in made.left})
            self.kv.tell(f"nothing to do: {'; '.join(whys[:3]) or 'all is as it was'}", "warning")
            return
        stood = kv.at
        kv.travel(0)
        report = await run_plan(kv, planned(title, verb, made, **more))
        if report is None:
            kv.travel(stood)
        elif kv is self.kv:
            self.reload()

    def do_time_undelete(self) -> None:
        """Marked keys, or the one under the cursor."""
        chosen = self.gone.chosen()
        keys = words.plural(len(chosen), "deleted key")
        what = printable(chosen[0].key) if len(chosen) == 1 else keys
        twin = f"kvorum undelete {printable(chosen[0].key)}" if len(chosen) == 1 else ""
        work = undeleting(
            self.kv.session, [(g.key, g.revision, g.last) for g in chosen], self._planning
        )
        note = ("what comes back hangs on no lease",)
        self.aside(
            lambda: self._planned(
                work, f"Bring back {what}", "Bring back", self.kv, twin=twin, notes=note
            )
        )

    def _planning(self, done: int) -> None:
        self.line_box.border_subtitle = f"planning: {done:,} keys looked at · esc stops"

    async def do_time_roll_back(self) -> None:
        """A prefix as it was here."""
        revision = self.line.place
        at = clock_text(self.strip.at_ms)
        label = f"Prefix that shall be as it was at revision {revision:,}{f', {at}' if at else ''}"
        field = Field("prefix", f"{label}; empty: all keys", key_to_text(self.prefix))
        filled = await self.kv.push_screen_wait(Form("Roll back", [field], "Show the plan"))
        if filled is None:
            return
        prefix = key_from_text(filled["prefix"])
        a = Side(self.kv.session, self.kv.cluster_title, prefix, revision)
        b = Side(self.kv.session, self.kv.cluster_title, prefix, 0)
        name = printable(prefix) or "all keys"
        twin = f"kvorum restore-prefix '{printable(prefix)}' --revision {revision}"
        await self._planned(
            self._rolling_back(a, b),
            f"Make {name} as at revision {revision:,}",
            "Roll back",
            self.kv,
            twin=twin,
        )

    async def _rolling_back(self, a: Side, b: Side) -> Planned:
        comparison = Comparison()
        await compare(a, b, comparison, lambda: self._planning(comparison.compared))
        return await self._restoring(a, b, comparison.under(b""), comparison.left_out)

    async def _restoring(
        self, a: Side, b: Side, differences: Sequence[Difference], left_out: int
    ) -> Planned:
        if len(differences) + left_out > MAX_KEYS:
            count = len(differences) + left_out
            text = f"{count:,} keys differ; a plan holds {MAX_KEYS:,}: choose branches"
            self.kv.tell(text, "warning")
            return Planned(())
        return await restoring(a, b, differences, self._planning)

    def do_time_restore(self) -> None:
        """B as A: what is marked, or the row under the cursor."""
        a, b = self.compare.a, self.compare.b
        assert a is not None and b is not None, "why_not has looked"
        chosen = self.compare.tree_list.chosen()
        kv = next(w for w in self.kv.kv_app.workspaces if w.session is b.session)
        what = words.plural(len(chosen), "key")
        if len(chosen) == 1:
            what = printable(b.prefix + chosen[0].key)
        alone = self.compare.alone
        title = f"Make {what} as in A ({a.words(alone)})"
        note = () if not b.revision else ("B is in the past: what is changed is the present",)
        self.aside(
            lambda: self._planned(
                self._restoring(a, b, chosen, 0), title, "Restore", kv, notes=note
            )
        )

    # --- the comparison ---------------------------------------------------------------------------

    async def do_time_compare(self) -> None:
        """Ask what is compared with what."""
        line, prefix = self.line, key_to_text(self.prefix)
        a_mark = line.marks.get("A", line.place or line.bounds.oldest)
        b_mark = line.marks.get("B", 0)
        a, b = self.compare.a, self.compare.b
        alone = len(self.kv.kv_app.workspaces) == 1
        texts = [f"{prefix}@{a_mark}", f"{prefix}@{b_mark}" if b_mark else prefix]
        if a is not None and b is not None and not line.marks and not line.place:
            texts = [a.text(alone), b.text(alone)]
        titles = [w.cluster_title for w in self.kv.kv_app.workspaces]

        def wrong(text: str) -> str:
            side = parse_side(text, titles, line.marks)
            return side if isinstance(side, str) else ""

        hint = SIDE_HINT.replace("[CLUSTER#]", "") if alone else SIDE_HINT
        fields = [
            Field("a", f"A: {hint}", texts[0], "all keys now", check=wrong),
            Field(
                "b", "B" if alone else f"B; {', '.join(titles)}", texts[1], "all keys now", wrong
            ),
        ]
        filled = await self.kv.push_screen_wait(Form("Compare", fields, "Compare"))
        if filled is not None:
            self.run_compare(self._side(filled["a"]), self._side(filled["b"]))

    def _side(self, text: str) -> Side:
        workspaces = self.kv.kv_app.workspaces
        titles = [w.cluster_title for w in workspaces]
        found = parse_side(text, titles, self.line.marks)
        assert not isinstance(found, str), "the form has checked it"
        cluster, prefix, revision = found
        kv = workspaces[titles.index(cluster)] if cluster else self.kv
        return Side(kv.session, kv.cluster_title, prefix, revision)

    def run_compare(self, a: Side, b: Side) -> None:
        """Compare two sides."""
        self.show_view("compare")
        self.aside(lambda: self.compare.run(a, b), group="compare", exclusive=True)

    def do_time_swap(self) -> None:
        """A for B."""
        if self.compare.a is not None and self.compare.b is not None:
            self.run_compare(self.compare.b, self.compare.a)

    def do_time_equal(self) -> None:
        """Branches without a difference, too."""
        tree = self.compare.tree_list
        tree.everything = not tree.everything
        tree.rebuild()

    def do_time_select(self) -> None:
        """Mark the row."""
        (self.compare.tree_list if self.view == "compare" else self.gone).toggle()

    def do_time_all(self) -> None:
        """Mark all rows."""
        (self.compare.tree_list if self.view == "compare" else self.gone).toggle_all()

    # --- files ------------------------------------------------------------------------------------

    async def do_time_export(self) -> None:
        """The comparison or the heat map, as a file."""
        if self.view == "compare":
            forms = ", ".join(f"{suffix} ({name})" for suffix, name in FORMS.items())
            await self._to_file("Export the comparison", f"To; {forms}", "diff.json", FORMS)
        else:
            await self._to_file("Export the heat map", "To; .svg", "heat.svg", {".svg": "SVG"})

    async def _to_file(self, title: str, label: str, name: str, forms: dict[str, str]) -> None:
        def wrong(text: str) -> str:
            path = _path(text)
            if path.suffix not in forms:
                return f"the name ends in {' or '.join(forms)}"
            return "" if path.parent.is_dir() else f"there is no folder {path.parent}"

        field = Field("path", label, str(Path.cwd() / name), check=wrong)
        filled = await self.kv.push_screen_wait(Form(title, [field], "Write"))
        if filled is None:
            return
        path = _path(filled["path"])
        text = self._heat_svg() if path.suffix == ".svg" else await self._diff_text(path.suffix)
        await asyncio.to_thread(path.write_text, text, "utf-8")
        self.kv.tell(f"{path} is written")

    def _heat_svg(self) -> str:
        model = self.heat.model
        clocks = [
            (model.first, f"{model.first:,} {clock_text(self.strip.clocks[0])}"),
            (model.first + (model.last - model.first) * 4 // 5, f"{model.last:,}"),
        ]
        title = f"{self.kv.cluster_title}: {model.measure} by prefix and revision"
        return svg(model, title, RAMP, clocks)

    async def _diff_text(self, suffix: str) -> str:
        a, b = self.compare.a, self.compare.b
        assert a is not None and b is not None, "why_not has looked"
        comparison = self.compare.tree_list.comparison
        differences = comparison.under(b"")
        alone = self.compare.alone
        head = f"A {a.words(alone)} → B {b.words(alone)}: "
        head += "".join(text for text, _ in counts_text(comparison.counts)).strip()
        if suffix == ".txt":
            signs = {"added": "+", "removed": "-", "changed": "~"}
            lines = [
                f"{signs[d.kind]} {printable(d.key)}  {d.a_mod} → {d.b_mod}" for d in differences
            ]
            return "\n".join([head, *lines, ""])
        documents: list[dict[str, Any]] = []
        commands = ["#!/usr/bin/env bash", f"# Makes B as A. {head}", "set -e"]
        for number, each in enumerate(differences):
            was = await a.session.past.get(a.prefix + each.key, a.revision) if each.a_mod else None
            if suffix == ".sh":
                commands.append(etcdctl_line(each, b, was))
                continue
            now = await b.session.past.get(b.prefix + each.key, b.revision) if each.b_mod else None
            document: dict[str, Any] = {"key": _base64(each.key), "kind": each.kind}
            for side, record in (("a", was), ("b", now)):
                if record is not None:
                    value = _base64(record.value)
                    document[side] = {"value": value, "mod_revision": record.mod_revision}
            documents.append(document)
            self._planning(number)
        if suffix == ".sh":
            return "\n".join([*commands, ""])
        return json.dumps({"a": a.text(alone), "b": b.text(alone), "keys": documents}, indent=1)


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
