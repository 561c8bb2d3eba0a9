"""How members are reached that this machine cannot reach itself: through ssh, or through any other
program that connects to ``host`` and ``port`` and speaks on its standard input and output.

A :class:`Tunnel` says which; it is a value and travels in contexts, flags and variables. What opens
connections by it is :class:`kvorum.client.dialler.Dialler`.

- ``ssh = "ops@bastion:2222"``: the system's own ``ssh``, with its configuration, agent and known
  hosts. All members are reached through one login. Names are resolved on the other side.
- ``proxy_command = "kubectl exec -i -n kube-system etcd-0 -- nc {host} {port}"``: a program for
  each connection, as ssh's own ``ProxyCommand``, but without a shell.

Either way no port is opened on this machine, where others could use it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from kvorum.errors import ConfigError

# What a member's address may look like before it becomes an argument of a program: members say
# where they are themselves, and one that calls itself "-oProxyCommand=…" is not to be believed.
_HOST = re.compile(r"[A-Za-z0-9_:](?:[A-Za-z0-9_.:%-]*)")
_PLACE = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?(?P<host>\[[0-9A-Fa-f:.%a-z]+\]|[^@:\s\[\]]+)(?::(?P<port>\d+))?"
)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Either of the two. Raises :class:`kvorum.errors.ConfigError` where neither makes sense."""

    ssh: str = ""
    proxy_command: str = ""

    def __post_init__(self) -> None:
        if bool(self.ssh) == bool(self.proxy_command):
            raise ConfigError("give ssh or proxy_command, one of them")
        if self.ssh:
            self.destination  # noqa: B018  # It raises what is wrong.
        else:
            self.arguments("host", 1)

    def __str__(self) -> str:
        return f"ssh {self.ssh}" if self.ssh else shlex.split(self.proxy_command)[0]

    @property
    def destination(self) -> list[str]:
        """ssh's arguments that say where to log in."""
        found = _PLACE.fullmatch(self.ssh.removeprefix("ssh://"))
        port = int(found["port"] or 0) if found else 0
        if (
            found is None
            or self.ssh.startswith("-")
            or found["host"].startswith("-")
            or port > 65535
        ):
            raise ConfigError(f"ssh: {self.ssh!r} is no place to log in; write user@host:port")
        user = f"{found['user']}@" if found["user"] else ""
        return [*(["-p", str(port)] if port else []), "--", user + found["host"].strip("[]")]

    def arguments(self, host: str, port: int) -> list[str]:
        """The proxy command for one address. Raises :class:`kvorum.errors.ConfigError`."""
        if not _HOST.fullmatch(host):
            raise ConfigError(f"{host!r} is no name of a host")
        try:
            words = shlex.split(self.proxy_command)
            made = [word.replace("{host}", host).replace("{port}", str(port)) for word in words]
        except ValueError as error:
            raise ConfigError(f"proxy_command: {error}") from error
        if not made:
            raise ConfigError("proxy_command: a program is missing")
        return made

    def stdio(self, host: str, port: int) -> str:
        """What ssh's ``-W`` takes. Raises :class:`kvorum.errors.ConfigError`."""
        if not _HOST.fullmatch(host):
            raise ConfigError(f"{host!r} is no name of a host")
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def flags(self) -> list[str]:
        """The options that tell a ``kvorum`` command the same, ..."""
        return [f"--ssh={self.ssh}"] if self.ssh else [f"--proxy-command={self.proxy_command}"]

    @property
    def environment(self) -> dict[str, str]:
        """... and the variables that do."""
        if self.ssh:
            return {"KVORUM_SSH": self.ssh}
        return {"KVORUM_PROXY_COMMAND": self.proxy_command}


def tunnel_of(ssh: str | None, proxy_command: str | None) -> Tunnel | None:
    """The tunnel that these fields ask for, if any. Raises :class:`kvorum.errors.ConfigError`."""
    if not ssh and not proxy_command:
        return None
    return Tunnel(ssh or "", proxy_command or "")
