"""What is done again and again at times an administrator chose."""
