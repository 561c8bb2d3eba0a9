"""Several candidates, one leader; when it goes, the next one leads.

    python leader_election.py --endpoints http://127.0.0.1:2379 --id one &
    python leader_election.py --endpoints http://127.0.0.1:2379 --id two

Whoever leads says so with its fencing token, and stops at once when its lease is lost, before
another can lead.
"""

import argparse
import asyncio

from kvorum import Client


async def lead(client: Client, name: str, me: str, ttl_s: int, terms: int | None) -> None:
    """Stand for election again and again; lead until the leadership is lost or the time is over."""
    election = client.election(name)
    while terms is None or terms > 0:
        print(f"{me}: waiting to be elected", flush=True)
        async with election.campaign(me, ttl_s=ttl_s) as leadership:
            print(f"{me}: leading with token {leadership.token}", flush=True)
            try:
                async with asyncio.timeout(ttl_s if terms is not None else None):
                    await leadership.lost.wait()
                print(f"{me}: leadership lost", flush=True)
            except TimeoutError:
                print(f"{me}: stepping down", flush=True)
        terms = None if terms is None else terms - 1


async def follow(client: Client, name: str) -> None:
    """Print every leader."""
    async for leader in client.election(name).observe():
        print(f"leader: {leader.value.decode()}", flush=True)


async def run(arguments: argparse.Namespace) -> None:
    """Do what was asked for."""
    async with Client(arguments.endpoints) as client:
        if arguments.follow:
            await follow(client, arguments.name)
        else:
            await lead(client, arguments.name, arguments.id, arguments.ttl, arguments.terms)


def main() -> None:
    """Read the arguments and run until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoints", default="http://127.0.0.1:2379")
    parser.add_argument("--name", default="/election/sample")
    parser.add_argument("--id", default="candidate")
    parser.add_argument("--ttl", type=int, default=5, help="seconds a dead leader stays")
    parser.add_argument("--terms", type=int, help="lead so many times for --ttl seconds, then end")
    parser.add_argument("--follow", action="store_true", help="only say who leads")
    arguments = parser.parse_args()
    try:
        asyncio.run(run(arguments))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
