"""``python -m compat.differential``."""

from compat.differential.command import main

main()
