"""The example site in other admin themes; ``pip install -e ".[themes]"``."""
