"""`python -m autohands` is the command `autohands`."""

from autohands.cli.main import main

if __name__ == "__main__":
    main()
