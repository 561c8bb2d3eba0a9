"""``kvorum lease``: grant, revoke, timetolive, list, keep-alive."""

from __future__ import annotations

import asyncio

import click

from kvorum.cli.options import LeaseId, Line, connected
from kvorum.cli.output import Gone, Group


@click.group("lease", cls=Group)
def lease() -> None:
    """Leases: keys tied to one are deleted when it ends. Ids are in hex."""


@lease.command("grant")
@click.argument("ttl_s", metavar="TTL", type=click.IntRange(1))
@click.option("--id", "lease_id", type=LeaseId(), default="0", help="An id of your own, in hex.")
@connected()
async def grant(line: Line, ttl_s: int, lease_id: int) -> None:
    """A new lease that ends after TTL seconds unless it is renewed."""
    from kvorum.cli import forms

    done = await line.client.leases.grant(ttl_s, id=lease_id)
    if line.form == "json":
        fields = {"ID": done.id, "TTL": done.ttl_s, "Error": ""}
        forms.write_json(forms.header_json(done.header) | fields)
    elif line.form == "table":
        forms.write_table(("LEASE", "TTL"), [(forms.lease_hex(done.id), done.ttl_s)])
    else:
        click.echo(f"lease {forms.lease_hex(done.id)} granted with TTL({done.ttl_s}s)")


@lease.command("revoke")
@click.argument("lease_id", metavar="LEASE", type=LeaseId())
@connected()
async def revoke(line: Line, lease_id: int) -> None:
    """End LEASE and delete its keys."""
    from kvorum.cli import forms

    header = await line.client.leases.revoke(lease_id)
    if line.form == "json":
        forms.write_json({"header": forms.header_json(header)})
    else:
        click.echo(f"lease {forms.lease_hex(lease_id)} revoked")


@lease.command("timetolive")
@click.argument("lease_id", metavar="LEASE", type=LeaseId())
@click.option("--keys", is_flag=True, help="Also the keys that hang on it.")
@connected()
async def timetolive(line: Line, lease_id: int, keys: bool) -> None:
    """What is left of LEASE."""
    from kvorum.cli import forms

    found = await line.client.leases.time_to_live(lease_id, keys=keys)
    name = forms.lease_hex(lease_id)
    if line.form == "json":
        attached = [forms.b64(key) for key in found.keys] if found.keys else None
        fields = {"id": found.id, "ttl": found.ttl_s, "granted-ttl": found.granted_ttl_s}
        forms.write_json(forms.header_json(found.header) | fields | {"keys": attached})
    elif line.form == "table":
        head = ("LEASE", "TTL", "GRANTED", *(["KEYS"] if keys else []))
        attached_text = ", ".join(forms.shown(key) for key in found.keys)
        row = (name, found.ttl_s, found.granted_ttl_s, *([attached_text] if keys else []))
        forms.write_table(head, [row])
    elif found.ttl_s < 0:
        click.echo(f"lease {name} already expired")
    else:
        text = f"lease {name} granted with TTL({found.granted_ttl_s}s), remaining({found.ttl_s}s)"
        attached_text = " ".join(forms.shown(key) for key in found.keys)
        click.echo(f"{text}, attached keys([{attached_text}])" if keys else text)


@lease.command("list")
@connected()
async def list_(line: Line) -> None:
    """Every lease."""
    from kvorum.cli import forms

    found = await line.client.leases.list()
    if line.form == "json":
        forms.write_json({"leases": [{"id": one} for one in found]})
    elif line.form == "table":
        forms.write_table(("LEASE",), [(forms.lease_hex(one),) for one in found])
    else:
        click.echo(f"found {len(found)} leases")
        for one in found:
            click.echo(forms.lease_hex(one))


@lease.command("keep-alive")
@click.argument("lease_id", metavar="LEASE", type=LeaseId())
@click.option("--once", is_flag=True, help="Renew once and end.")
@connected(endless=True)
async def keep_alive(line: Line, lease_id: int, once: bool) -> None:
    """Renew LEASE until Ctrl-C, or until it is gone (exit code 4)."""
    from kvorum.cli import forms
    from kvorum.client import LeaseNotFoundError

    name = forms.lease_hex(lease_id)
    while True:
        try:
            ttl_s = await line.client.leases.keep_alive_once(lease_id)
        except LeaseNotFoundError:
            raise Gone(f"lease {name} expired or revoked") from None
        if line.form == "json":
            forms.write_json({"ID": lease_id, "TTL": ttl_s})
        else:
            click.echo(f"lease {name} keepalived with TTL({ttl_s})")
        if once:
            return
        await asyncio.sleep(ttl_s / 3)
