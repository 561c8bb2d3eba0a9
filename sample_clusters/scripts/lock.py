"""Do a piece of work under a lock, so that only one does it at a time.

    python lock.py --endpoints http://127.0.0.1:2379 --name /locks/report &
    python lock.py --endpoints http://127.0.0.1:2379 --name /locks/report

The second waits for the first. The work writes through the lock's own condition: a holder that was
paused until its lease ran out cannot overwrite what the next holder wrote.
"""

import argparse
import asyncio

from kvorum import Client
from kvorum.client import Key, Put
from kvorum.client.lock import Lock


async def work(client: Client, lock: Lock, counter: str, steps: int) -> None:
    """Count a counter up, step by step, as long as the lock is ours."""
    for _ in range(steps):
        found = await client.get(counter)
        value = int(found.value or 0) + 1
        done = await (
            client.txn()
            .if_(lock.owned, Key(counter).mod_revision == found.mod_revision)
            .then(Put(counter, str(value)))
            .commit()
        )
        if not done.succeeded:
            raise SystemExit("the lock is not ours any more; nothing was written")
        print(f"token {lock.token}: {counter} = {value}", flush=True)


async def run(endpoints: str, name: str, counter: str, steps: int, ttl_s: int) -> None:
    """Take the lock, work, give it back."""
    async with Client(endpoints) as client:
        print(f"waiting for {name}", flush=True)
        async with client.lock(name, ttl_s=ttl_s) as lock:
            print(f"holding {name} with token {lock.token}", flush=True)
            await work(client, lock, counter, steps)
        print(f"released {name}", flush=True)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoints", default="http://127.0.0.1:2379")
    parser.add_argument("--name", default="/locks/report")
    parser.add_argument("--counter", default="/report/counter")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--ttl", type=int, default=10, help="seconds a dead holder's lock stays")
    arguments = parser.parse_args()
    asyncio.run(
        run(
            arguments.endpoints,
            arguments.name,
            arguments.counter,
            arguments.steps,
            arguments.ttl,
        )
    )


if __name__ == "__main__":
    main()
