"""An app whose migrations depend on this one's."""
