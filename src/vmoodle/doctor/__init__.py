"""The doctor: numbered checks of an installation, each finding with a hint."""
