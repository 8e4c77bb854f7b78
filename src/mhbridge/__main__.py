"""`python -m mhbridge` is the command `mhbridge`."""

from mhbridge.cli import main

if __name__ == "__main__":
    main()
