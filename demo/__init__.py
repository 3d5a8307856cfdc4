"""The demo: real people, real photos, real ratings (see ATTRIBUTION.md)."""

CLIENT = "demo"  # the API client whose people they are
