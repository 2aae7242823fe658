"""`python -m pulseshim`."""

from pulseshim.commands import main

main()
