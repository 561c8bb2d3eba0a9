"""What runs under grpclib's Server and Channel.

grpclib keeps its Server, Channel, Stream and the shape of handlers; this room replaces what lies
below them, because the stock parts refuse the 101st stream of a connection, take messages of any
size, and write each frame with a system call of its own:

- :mod:`kvorum.http2.transport` gathers the writes of one turn of the loop into one;
- :mod:`kvorum.http2.protocol` builds the HTTP/2 connection with our settings and checks every
  message's frame;
- :mod:`kvorum.http2.server` is the server: unknown methods answered in etcd's words, connections
  that can be held;
- :mod:`kvorum.http2.choice` says what speaks HTTP/2 below all this: the h2 library
  (:mod:`kvorum.http2.connection` bounds it) or our own engine (:mod:`kvorum.http2.engine`), which
  costs a server a fifth to a tenth;
- :mod:`kvorum.http2.lane` serves unary calls on that engine with few objects, an answer in one
  write;
- :mod:`kvorum.http2.messages` sends many messages of a stream in one write.

Handlers use only ``recv_message``, ``send_message``, ``metadata``, ``peer`` and ``deadline`` of
their stream (and :func:`kvorum.http2.messages.send_encoded`), so that whatever comes to run below
them need offer no more.
"""
