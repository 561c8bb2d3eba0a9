"""``python -m kvorum.cli``: the command without its installed script."""

from kvorum.cli import main

main()
