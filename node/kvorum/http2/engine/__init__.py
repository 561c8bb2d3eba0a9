"""HTTP/2 of our own: bytes in, events and bytes out, no event loop, no clock but the one given.

h2 costs two thirds of a server's time per call. This engine stands in its place, has the methods
that grpclib uses of it, and speaks in h2's events and errors, because grpclib does; h2 remains as
what it is compared with, and to be chosen instead (:mod:`kvorum.http2.choice`).

- :mod:`~kvorum.http2.engine.huffman`, :mod:`~kvorum.http2.engine.table`,
  :mod:`~kvorum.http2.engine.decoder` and :mod:`~kvorum.http2.engine.encoder` are HPACK (RFC 7541);
- :mod:`~kvorum.http2.engine.frames` cuts bytes into frames and builds frames (RFC 9113, 4 and 6);
- :mod:`~kvorum.http2.engine.streams` is what is known of one stream, and of the windows;
- :mod:`~kvorum.http2.engine.inbound` holds what each frame of the other side means;
- :mod:`~kvorum.http2.engine.connection` is the connection as grpclib sees it.

What is left out, because gRPC has no use for it: priorities (read and forgotten), server push
(switched off, and refused), upgrades from HTTP/1.1.
"""
