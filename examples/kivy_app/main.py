"""Android and iOS start the file of this name; on a desktop use start.py, which is the same."""

from __future__ import annotations

from start import main

if __name__ == "__main__":
    main()
