"""``kvorum doctor``: what goes wrong quietly, and what this kind of server cannot do."""

from __future__ import annotations

from typing import Any

import click

from kvorum.cli.options import Line, connected, tls_of, verb
from kvorum.cli.output import Failed, Unreachable

_MARKS = {"ok": "ok  ", "warn": "WARN", "bad": "BAD "}


@verb("doctor")
@click.option("--strict", is_flag=True, help="Leave with 1 for warnings, too.")
@connected()
async def doctor(line: Line, strict: bool) -> None:
    """Ask every member how it is, and say what looks wrong.

    Reachability, quorum, leader, alarms, space, versions, clocks, certificates, access; then what
    of kvorum's terminal does not work on this kind of server, with the reason. Nothing is changed.
    Leaves with 0 when nothing is bad, 1 when something is, 2 when no member answers.
    """
    from kvorum.cli import forms
    from kvorum.client.checkup import checkup

    found = await checkup(line.client, tls_of(line.options), timeout_s=line.timeout_s)
    if line.form == "json":
        forms.write_json(_json(found))
    else:
        for each in found.findings:
            where = f" {each.member}" if each.member else ""
            click.echo(f"{_MARKS[each.level]} {each.subject:<12}{where:<10} {each.text}".rstrip())
        kinds = " and ".join(found.kinds) or "unknown"
        click.echo(f"\nWhat does not work, or not fully, on this cluster ({kinds}):")
        for limit in found.limits:
            click.echo(f"  {limit.feature}: {limit.reason}")
    if all(each.row.status is None for each in found.patients):
        raise Unreachable("no member answers")
    if found.worst == "bad" or (strict and found.worst == "warn"):
        raise Failed(f"{sum(each.level != 'ok' for each in found.findings)} findings")


def _json(found: Any) -> dict[str, Any]:
    return {
        "worst": found.worst,
        "kinds": list(found.kinds),
        "auth": found.auth,
        "findings": [
            {"level": f.level, "subject": f.subject, "member": f.member, "text": f.text}
            for f in found.findings
        ],
        "limits": [{"feature": f.feature, "reason": f.reason} for f in found.limits],
    }
