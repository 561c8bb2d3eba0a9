"""A registry of services: what runs announces itself, what dies disappears by itself.

    python service_registry.py announce web 10.0.0.1:80 --endpoints http://127.0.0.1:2379
    python service_registry.py list web
    python service_registry.py follow web

An announcement hangs on a lease that is renewed as long as the announcing program lives. When it is
killed, or cut off, the entry goes when the lease ends.
"""

import argparse
import asyncio

from kvorum import Client

PREFIX = "/services"


async def announce(client: Client, service: str, address: str, ttl_s: int) -> None:
    """Keep one address in the registry until the lease is lost."""
    async with client.lease(ttl_s) as lease:
        await client.put(f"{PREFIX}/{service}/{address}", address, lease=lease.id)
        print(f"announced {service} at {address}", flush=True)
        await lease.lost.wait()
        raise SystemExit(f"the announcement is lost: {lease.reason}")


async def list_(client: Client, service: str) -> None:
    """Print the addresses that are announced now."""
    async for kv in client.scan(f"{PREFIX}/{service}/", prefix=True):
        print(kv.value.decode(), flush=True)


async def follow(client: Client, service: str) -> None:
    """Print who comes and who goes."""
    prefix = f"{PREFIX}/{service}/"
    async with client.mirror(prefix) as mirror:
        known = {kv.key for kv in mirror.items()}
        for key in sorted(known):
            print("+", key.decode().removeprefix(prefix), flush=True)
        async for _ in mirror:
            now = {kv.key for kv in mirror.items()}
            for key in sorted(now - known):
                print("+", key.decode().removeprefix(prefix), flush=True)
            for key in sorted(known - now):
                print("-", key.decode().removeprefix(prefix), flush=True)
            known = now


async def run(arguments: argparse.Namespace) -> None:
    """Do what was asked for."""
    async with Client(arguments.endpoints) as client:
        match arguments.action:
            case "announce":
                await announce(client, arguments.service, arguments.address, arguments.ttl)
            case "list":
                await list_(client, arguments.service)
            case "follow":
                await follow(client, arguments.service)


def main() -> None:
    """Read the arguments and run until done or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["announce", "list", "follow"])
    parser.add_argument("service")
    parser.add_argument("address", nargs="?")
    parser.add_argument("--endpoints", default="http://127.0.0.1:2379")
    parser.add_argument("--ttl", type=int, default=5, help="seconds until a dead service goes")
    arguments = parser.parse_args()
    if arguments.action == "announce" and not arguments.address:
        parser.error("announce needs an address")
    try:
        asyncio.run(run(arguments))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
