"""`python -m poliqi` is the `poliqi` command."""

from poliqi.ops.cli import main

main()
