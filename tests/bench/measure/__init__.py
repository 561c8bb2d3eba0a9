"""What the figures are made with: servers of their own, light clients, the kernel's counters.

Both programs run at the same time and are asked in turns, so that whatever else the machine does
hits both alike; every figure is the median of the rounds, with their spread beside it. Clients are
h2load, and :class:`~measure.wire.Wire` where h2load cannot do it (streams, answers that must be
looked at): both send frames that were packed once and look at no more of an answer than they must.
"""
