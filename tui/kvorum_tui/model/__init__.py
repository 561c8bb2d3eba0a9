"""View models: what the screens show, without Textual and without the network. Time is always
handed in, in seconds.
"""
