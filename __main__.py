"""`python -m hyperstyle_deploy`: the command line."""

from .cli import main

main()
