"""An example: commands of your own for many Moodle sites."""
