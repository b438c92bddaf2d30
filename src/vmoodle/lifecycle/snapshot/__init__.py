"""Snapshots: taken, kept in a store, proved by a drill, restored, carried between installations."""
