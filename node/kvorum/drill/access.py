"""How a drill speaks to the members of a cluster: over TLS or plainly, as somebody or nobody."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from kvorum.client import TLS, Client, Tunnel


@dataclass(frozen=True)
class Access:
    """``tls`` None: plainly. ``user`` None: as nobody, or as whoever the certificate names.
    ``tunnel``: through what the members are reached.
    """

    tls: TLS | None = None
    user: str | None = None
    password: str | None = None
    tunnel: Tunnel | None = None

    def client(
        self,
        endpoints: Sequence[str],
        timeout_s: float,
        dial_timeout_s: float = 1.0,
        rng: random.Random | None = None,
    ) -> Client:
        """A client with this access."""
        return Client(
            list(endpoints),
            user=self.user,
            password=self.password,
            tls=self.tls,
            timeout_s=timeout_s,
            dial_timeout_s=dial_timeout_s,
            rng=rng,
            tunnel=self.tunnel,
        )

    @property
    def flags(self) -> list[str]:
        """The same as options of a ``kvorum`` command. The password is not among them: a command
        line is for everybody to see; it goes into the environment (:attr:`environment`).
        """
        flags = []
        if self.tls is not None:
            named = (
                ("--cacert", self.tls.ca_cert),
                ("--cert", self.tls.cert),
                ("--key", self.tls.key),
                ("--tls-server-name", self.tls.server_name),
            )
            flags += [f"{flag}={value}" for flag, value in named if value is not None]
            flags += ["--insecure-skip-tls-verify"] * self.tls.insecure_skip_verify
        if self.tunnel is not None:
            flags += self.tunnel.flags
        return flags

    @property
    def environment(self) -> dict[str, str]:
        """Variables that a ``kvorum`` command reads beside :attr:`flags`."""
        found = {"KVORUM_USER": self.user, "KVORUM_PASSWORD": self.password}
        way = self.tunnel.environment if self.tunnel is not None else {}
        return {name: value for name, value in found.items() if value is not None} | way
