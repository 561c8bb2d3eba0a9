"""The release gate: what is too long for every commit, in slices of which each fits 80 minutes.

``python tests/check.py --release --list`` names the slices with their goals;
:mod:`release.gate` runs them and keeps what they did, :mod:`release.table` puts the figures into
``tests/README.md``. Each other module here holds slices. They go on where they were stopped, so
that a slice may be run in pieces and its figures add up.
"""
