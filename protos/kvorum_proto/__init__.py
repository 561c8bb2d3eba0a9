"""What crosses the wire: etcd's messages, kvorum's own, and the codec for both.

Generated from `protos/etcd` and `protos/kvorum` by `protos/generate.py`, one module a proto
package:

- `etcdserverpb`, `mvccpb`, `authpb`, `v3lockpb`, `v3electionpb`: etcd's v3 API, wire-compatible;
- `kvorum.v1`: peer protocol, inspection, faults;
- `grpc.health.v1`, `grpc.reflection.v1`, `grpc.reflection.v1alpha`;
- `services`: every method by its path; `names`, `schema`, `descriptors.binpb`: names, descriptors.

Written by hand: `codec` (messages to bytes and back; its parts are `codegen*` and `runtime`),
`wire` (bytes without messages), `rpc`, `jsonnames`, `descriptors` (faces of the generated tables).

Python names: fields are snake case (`peerURLs` is `peer_urls`, `ID` is `id`), nested enums go by
their own name where it is unambiguous (`RangeRequest.SortOrder` is `SortOrder`), else with the
message's in front (`Permission.Type` is `PermissionType`).

Nothing is imported here: a package costs its reader only when it is named.
"""
