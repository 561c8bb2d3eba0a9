"""etcd's API for whoever has no gRPC: JSON over HTTP/1.1 on the client port (contract page "wire",
sections 2 and 4).

Every route is one gRPC method. A request's JSON becomes the method's message, the method's own
handler runs on a stream that lives in memory, and its messages become JSON again; so guards,
errors and semantics are those of gRPC, because they are the same code.

- ``routes``     which path is which method; the object that the registry lists among the services;
- ``documents``  bytes to JSON values: one body, or several objects one after the other;
- ``forms``      JSON values to messages and back, in etcd's forms;
- ``calls``      one HTTP request as one call: metadata, deadline, the streams in memory;
- ``replies``    what errors look like, inside and outside of a stream.
"""
