"""python -m tart_jax"""

import sys

from tart_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
