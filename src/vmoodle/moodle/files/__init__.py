"""A site's moodledata: its pool of files, and the areas that name them."""
