"""`python -m scizor_dagster` is the command `scizor`."""

from scizor_dagster.cli.app import main

if __name__ == "__main__":
    main()
