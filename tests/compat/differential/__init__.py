"""The same requests to a real etcd and to kvorum, side by side: equal answers.

- ``step``        one request, as data that can be printed, read and replayed;
- ``generator``   draws steps from a seed and from what the servers have answered so far, with the
                  rooms ``draw``, ``kv``, ``leases``, ``watches``, ``accounts`` and ``upkeep``;
- ``wire``        messages of google.protobuf, made from the descriptors: nothing of kvorum's codec;
- ``side``        one server as a client sees it, over gRPC (grpcio) and over JSON;
- ``watching``    watch streams, and how to know that all has arrived without waiting for luck;
- ``normalise``   takes ids, terms, tokens and remaining seconds out of answers;
- ``allowed``     every difference that is allowed, one line each with its reason;
- ``runner``      performs steps on both sides, compares, counts;
- ``shrink``      the smallest script that still shows a difference;
- ``servers``     starts the pair.

``python -m compat.differential --help``, run in ``tests``, is the long form of the test.
"""
