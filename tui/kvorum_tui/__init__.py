"""The terminal: a Textual app that connects to every member of a cluster at once.

The way of the data is one way. ``session`` talks to the cluster and answers in plain records
(``model.records``); ``feeds`` keep those answers coming and put them into the view models of
``model``, which know neither Textual nor the network; ``screens`` (one a tab) and ``widgets`` paint
the view models. What a user does travels the other way through one registry, ``actions``, so that
keys, footer, help and command palette never disagree.

Nothing here waits for the cluster on the way to the screen: a broken cluster makes numbers old,
which is shown, and never the app slow.
"""
