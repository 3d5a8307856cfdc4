"""The demo: real people, real photos, real ratings (see ATTRIBUTION.md)."""
