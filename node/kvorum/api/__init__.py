"""etcd's services, thin: a request becomes a command or a query, a result becomes bytes.

One module a service. Every handler has grpclib's shape, ``async def method(stream)``, and uses only
``recv_message``, ``send_message``, ``metadata``, ``peer`` and ``deadline``. What all handlers share
(who may call, what an error looks like) is in ``guards``; what becomes of messages in
``translate``; which methods exist in ``registry``. Methods of the contract that are not built yet
answer UNIMPLEMENTED.

Answers are spliced, not built: a record's bytes were encoded once when it was written, and a range
joins them (design, section
5); the header is a few varints that are remembered until the revision moves.
"""
